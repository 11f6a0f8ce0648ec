// Package exposition stands between what a script wrote and what a scrape gets:
// it checks Prometheus exposition text, mends what can be mended, leaves out
// what cannot, and renders the rest.
// One bad line makes Prometheus throw a whole scrape away, so the promise is:
// whatever goes in, what comes out parses, and a good sample is never lost with
// a bad one.
// It knows no HTTP and no actors.
//
// # What is valid
//
// A line passes as it is when both of Prometheus's own parsers take it:
// textparse.PromParser, which a Prometheus server uses, and expfmt.TextParser,
// which promtool and most other readers use.
// They differ in many small things (a blank at a line's end, a negative
// timestamp, "# TYPE x Counter"), and where one refuses, the line is mended if
// its meaning is beyond doubt, else left out.
// Names are the classic ones, [a-zA-Z_:][a-zA-Z0-9_:]* for metrics and the same
// without ':' for labels, since Prometheus 2 knows no others: a quoted name is
// unquoted when it is a classic one, else refused. In "a.5 1" both parsers see
// the name a, the value .5 and a time; it is refused, since whoever wrote it
// meant a name.
//
// A text that needs nothing is served from the very bytes that were read. Check
// then allocates the Page and nothing else.
//
// # What is mended
//
// The C escapes of SystemTap's string_quoted in label values, and the "..."
// that it puts after the closing quote of a string that it cut; CR LF; blanks
// at either end of a line; a byte order mark; the lines of a family that do not
// stand together; TYPE after the family's first sample, a second TYPE or HELP
// (the first one holds); quoted names.
//
// # Duplicates
//
// Two samples are the same series when name and labels agree; the labels' order
// does not count, and a label with an empty value is no label. They are
// duplicates when their timestamps agree too, or when neither has one: the
// first is kept, as Prometheus does. The same series at two different times is
// not a duplicate.
//
// # Who owns what
//
// Check and Merge may be called from any goroutine; what they need beside the
// Page comes from pools. The text given to Check belongs to the Page from then
// on.
// A Page is immutable. Its renderings are made once, by Prepare or by whichever
// goroutine asks first, and are shared: nobody may write to them.
package exposition
