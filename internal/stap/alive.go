package stap

// alive tells whether the process is there and not about to end. What was read
// from it to the end while it was alive was written whole, since a process that
// ends is exiting before it closes its files.
func alive(pid int) bool {
	st, err := readStat(pid, make([]byte, statBuffer))
	return err == nil && !st.dead() && st.number(9)&exiting == 0
}

// writerOf is the process that writes the procfs file, as well as can be known:
// the stapbpf among the members of a child's group, or the child itself.
func writerOf(members []process, child int) int {
	for _, m := range members {
		if m.name == "stapbpf" {
			return m.pid
		}
	}
	return child
}
