package stap

// alive tells whether the process is there and not about to end. What was read from it to the end while it was alive was written whole, since a process that ends is exiting before it closes its files.
func alive(pid int) bool {
	st, err := readStat(pid, make([]byte, statBuffer))
	return err == nil && !st.dead() && st.number(9)&exiting == 0
}

// writer is the process that writes the procfs file, as well as can be known: the child itself, or the stapbpf among its group.
func (w *watch) writer() int {
	if w.direct {
		return w.child.pid
	}
	for _, m := range w.child.members() {
		if m.name == "stapbpf" {
			return m.pid
		}
	}
	return w.child.pid
}
