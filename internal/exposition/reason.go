package exposition

// Reason is why a line was dropped.
type Reason uint8

// The reasons, in the order in which a line is parsed. None means that the line
// is valid.
const (
	None Reason = iota
	// the last line has no newline and the text was truncated
	TruncatedLastLine
	BadName   // the metric name, or the character after it
	BadLabel  // a label name, a repeated label, quotes, commas or braces
	BadEscape // an escape in a label value that neither Prometheus nor C knows
	NotUTF8   // a label value or a HELP text
	BadValue  // not a number that every parser accepts
	// not an integer number of milliseconds from 0 to 2^63-1, or text after it
	BadTimestamp
	DuplicateSeries // name, labels and timestamp of an earlier line
	// a HELP or TYPE line that does not parse, or a comment with a NUL byte
	BadMetadata
	numReasons
)

var reasonNames = [numReasons]string{
	"none",
	"truncated-last-line",
	"bad-name",
	"bad-label",
	"bad-escape",
	"not-utf8",
	"bad-value",
	"bad-timestamp",
	"duplicate-series",
	"bad-metadata",
}

// String returns the reason as log and metrics spell it.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons returns all reasons except None.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := None + 1; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// Repair is what was repaired in a line that was kept.
type Repair uint8

// The repairs. One line may need several.
const (
	RepairEscape Repair = iota // C escapes in a label value
	// the "..." that string_quoted puts after the closing quote of a string
	// that it truncated
	RepairCut
	// CR before LF, blanks at an end of a line, more blanks than a parser
	// accepts, a byte order mark
	RepairBlank
	RepairNewline   // the last line had no newline
	RepairScattered // a line did not stand with its family
	// a repeated HELP or TYPE, TYPE after samples, or HELP or TYPE in a form
	// that Prometheus rejects, such as a type in capitals or an unknown escape
	RepairMetadata
	RepairQuoted // a classic name in quotes
	numRepairs
)

var repairNames = [numRepairs]string{"escape", "cut-string", "blank", "newline", "scattered", "metadata", "quoted-name"}

// String returns the repair as log and metrics spell it.
func (r Repair) String() string {
	if r < numRepairs {
		return repairNames[r]
	}
	return "unknown"
}

// Repairs returns all repairs.
func Repairs() []Repair {
	all := make([]Repair, 0, numRepairs)
	for r := range numRepairs {
		all = append(all, r)
	}
	return all
}
