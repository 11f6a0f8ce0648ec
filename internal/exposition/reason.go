package exposition

// Reason says why a line was left out.
type Reason uint8

// The reasons, in the order in which a line is looked at. None means that
// nothing is wrong.
const (
	None Reason = iota
	// the last line has no newline, and the text was cut: it may be half a line
	TornLastLine
	BadName   // the metric name, or what follows it
	BadLabel  // a label name, a label given twice, quotes, commas or braces
	BadEscape // an escape in a label value that neither Prometheus nor C knows
	NotUTF8   // a label value or a HELP text
	BadValue  // not a number that every parser takes
	// not a whole number of milliseconds from 0 to 2^63-1, or something after
	// it
	BadTimestamp
	DuplicateSeries // name, labels and timestamp as on an earlier line
	// a HELP or TYPE line that does not parse, or a comment holding a NUL byte
	BadMetadata
	numReasons
)

var reasonNames = [numReasons]string{
	"none",
	"torn-last-line",
	"bad-name",
	"bad-label",
	"bad-escape",
	"not-utf8",
	"bad-value",
	"bad-timestamp",
	"duplicate-series",
	"bad-metadata",
}

// String returns the reason as the log and the metrics show it.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons returns all reasons but None, for whoever makes one metric of each.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := None + 1; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// Mend says what was put right in a line that was kept.
type Repair uint8

// The mends. One line may need several.
const (
	RepairEscape Repair = iota // C escapes in a label value, or a backslash in a HELP text
	// the "..." that string_quoted puts after the closing quote of a cut string
	RepairCut
	// CR before LF, blanks at an end of a line, more blanks than a parser
	// takes, a byte order mark
	RepairBlank
	RepairNewline   // the last line got its newline
	RepairScattered // a line was moved to the others of its family
	// a second HELP or TYPE was dropped, or TYPE was moved before the samples
	// or spelt as Prometheus wants it
	RepairMetadata
	RepairQuoted // a classic name was quoted
	numRepairs
)

var mendNames = [numRepairs]string{"escape", "cut-string", "blank", "newline", "scattered", "metadata", "quoted-name"}

// String returns the mend as the log and the metrics show it.
func (m Repair) String() string {
	if m < numRepairs {
		return mendNames[m]
	}
	return "unknown"
}

// Mends returns all mends.
func Repairs() []Repair {
	all := make([]Repair, 0, numRepairs)
	for m := range numRepairs {
		all = append(all, m)
	}
	return all
}
