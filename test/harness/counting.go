package harness

import "regexp"

// Counting is a script that counts its own reads: seq grows by one with each
// run of the prometheus probe, and the text ends in last. CountingText matches
// the whole text.
const Counting = `
global seq, ticks, last
probe begin { for (i = 0; i < 40; i++) ticks[i, "filler to make the text longer"] = i; last[0] = 1 }
probe timer.ms(20) { ticks[100, "ticks"]++ }
probe prometheus {
  seq[0]++
  @prometheus_dump_array1(seq, "seq", "name")
  @prometheus_dump_array2(ticks, "ticks", "number", "text")
  @prometheus_dump_array1(last, "last", "name")
}
`

// CountingText matches a text of Counting. Its first group is seq.
var CountingText = regexp.MustCompile(
	`^seq\{name="0"\} (\d+)\n(ticks\{number="\d+",text="[a-z ]+"\} \d+\n){40,41}last\{name="0"\} 1\n$`,
)
