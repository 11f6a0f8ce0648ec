package proc

import (
	"fmt"
	"strings"
	"testing"
)

func TestSplitStat(t *testing.T) {
	var fields []string
	for i := 3; i <= 52; i++ {
		fields = append(fields, fmt.Sprint(i))
	}
	st := splitStat([]byte("7 (a b) c) " + strings.Join(fields, " ") + "\n"))
	if string(st.name) != "a b) c" || string(st.field(3)) != "3" || string(st.field(51)) != "51" ||
		string(st.memory) != "45 46 47 48 49 50 51" {
		t.Errorf("%q %q %q", st.name, st.fields, st.memory)
	}
	fields[51-3] = "0"
	noMemory := "7 (a) " + strings.Join(fields, " ")
	for _, none := range []string{"", "7", "7 (a", "7 (a)", "7 (a) S", "7 (a) S 1 2", noMemory} {
		if st := splitStat([]byte(none)); len(st.memory) > 0 {
			t.Errorf("%q: memory %q", none, st.memory)
		}
	}
}
