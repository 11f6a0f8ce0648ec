// Package exposition validates, repairs and renders Prometheus exposition text.
// It stands between what a script wrote and what a scrape receives. It knows no
// HTTP and no actors.
//
// Prometheus rejects a whole scrape for one bad line. The package therefore
// promises: whatever goes in, the result parses, and a good sample is never
// lost with a bad one.
//
// # What is valid
//
// A line passes unchanged when both of Prometheus's own parsers accept it:
// textparse.PromParser, which a Prometheus server uses, and expfmt.TextParser,
// which promtool and most other readers use. The two differ in many details (a
// blank at the end of a line, a negative timestamp, "# TYPE x Counter"). Where
// one of them rejects a line, the line is repaired if its meaning is beyond
// doubt, and dropped otherwise.
//
// Names are the classic ones, [a-zA-Z_:][a-zA-Z0-9_:]* for metrics and the same
// without ':' for labels, because Prometheus 2 knows no others. A quoted name
// is unquoted when it is a classic name, and rejected otherwise. In "a.5 1"
// both parsers see the name a, the value .5 and a timestamp; the line is
// rejected, because the author meant a name.
//
// A valid text is served from the very bytes that were read: Sanitize then
// allocates the Page and nothing else.
//
// # What is repaired
//
//   - C escapes of SystemTap's string_quoted in label values
//   - the "..." that string_quoted puts after the closing quote of a string
//     that it truncated
//   - CR LF, blanks at either end of a line, a byte order mark
//   - lines of a family that do not stand together
//   - TYPE after the first sample of its family, and a second TYPE or HELP (the
//     first one wins)
//   - quoted names
//
// # Duplicates
//
// Two samples belong to the same series when their names and labels agree; the
// order of labels does not count, and a label with an empty value is no label.
// Two samples of a series are duplicates when their timestamps agree, or when
// neither has one. The first one is kept, as Prometheus does.
//
// # Ownership and goroutines
//
// Every function may be called from any goroutine; the package starts none. The
// text given to Sanitize belongs to the Page from then on. A Page is immutable.
// Its renderings are made once, by Prepare or by the first caller of Render,
// and are shared: nobody may modify them. Working memory comes from pools.
package exposition
