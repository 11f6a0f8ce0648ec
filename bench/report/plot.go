package report

import (
	"fmt"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Line is one line of a plot.
type Line struct {
	Name string
	X, Y []float64
}

// Plot is a line plot.
type Plot struct {
	Title, X, Y string
	LogX, LogY  bool // logarithmic axis; values of 0 and below are omitted
	Lines       []Line
}

const (
	width, height = 7 * vg.Inch, 4 * vg.Inch
	margin        = 0.3 * vg.Inch
)

// Draw writes the plot to NAME.svg in dir, which it creates if it is missing.
func (p Plot) Draw(dir, name string) error {
	picture := plot.New()
	picture.Title.Text, picture.X.Label.Text, picture.Y.Label.Text = p.Title, p.X, p.Y
	picture.Title.Padding = vg.Points(8)
	picture.Legend.Top = true
	picture.Add(plotter.NewGrid())
	if p.LogX {
		picture.X.Scale, picture.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	if p.LogY {
		picture.Y.Scale, picture.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	} else {
		picture.Y.Min = 0
	}
	for i, line := range p.Lines {
		var xy plotter.XYs
		for n := range line.X {
			if p.LogX && line.X[n] <= 0 || p.LogY && line.Y[n] <= 0 {
				continue
			}
			xy = append(xy, plotter.XY{X: line.X[n], Y: line.Y[n]})
		}
		if len(xy) == 0 {
			continue
		}
		l, points, err := plotter.NewLinePoints(xy)
		if err != nil {
			return fmt.Errorf("plot %q: %w", line.Name, err)
		}
		l.Color, points.Color, points.Shape = plotutil.Color(i), plotutil.Color(i), plotutil.Shape(i)
		l.Width = vg.Points(1.5)
		picture.Add(l)
		if len(xy) <= 20 {
			picture.Add(points)
		}
		picture.Legend.Add(line.Name+"    ", l)
	}
	if !p.LogY {
		picture.Y.Min = 0
		picture.Y.Max *= 1.15 // space for the legend
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	canvas := vgsvg.New(width, height)
	// Margins for the last number of the axis, and for viewers with wider
	// fonts.
	picture.Draw(draw.Crop(draw.New(canvas), 0, -margin, 0, -margin/4))
	f, err := os.Create(filepath.Join(dir, name+".svg"))
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(f); err != nil {
		_ = f.Close()
		return fmt.Errorf("write plot: %w", err)
	}
	return f.Close()
}
