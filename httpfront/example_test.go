package httpfront_test

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"stap-exporter/httpfront"
	"stap-exporter/httpfront/listen"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// oneScript serves the metrics of one script.
type oneScript struct{ status scrape.Status }

func (o *oneScript) Scrape(name []byte, _ scrape.Query) scrape.Answer {
	if string(name) != o.status.Script.Name {
		return scrape.Answer{Err: scrape.ErrUnknown}
	}
	return scrape.Answer{
		Page:   exposition.Sanitize([]byte("reads_total 7\n"), exposition.Options{}),
		Status: &o.status,
	}
}

func (o *oneScript) Statuses() []*scrape.Status { return []*scrape.Status{&o.status} }

func Example() {
	server := httpfront.New(httpfront.Config{
		Scripts: &oneScript{scrape.Status{Script: script.Script{Name: "reads.stp"}, State: scrape.Running}},
	})
	listeners, err := listen.Listen([]string{"127.0.0.1:0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listeners[0]) }()

	for _, path := range []string{"/reads.stp", "/writes.stp"} {
		resp, err := http.Get("http://" + listeners[0].Addr().String() + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fmt.Printf("%s\n%s", resp.Status, body)
	}

	if err := server.Shutdown(context.Background()); err != nil {
		fmt.Println(err)
	}
	if err := <-served; err != nil {
		fmt.Println(err)
	}
	// Output:
	// 200 OK
	// reads_total 7
	// 404 Not Found
	// script not found
	// The list of scripts is at /
}
