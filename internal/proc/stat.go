package proc

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// Flags of a process (field 9), of the kernel's include/linux/sched.h.
const (
	exiting      = 0x4        // PF_EXITING: set before an ending process closes its files
	kernelThread = 0x00200000 // PF_KTHREAD
)

// stat is the text of a /proc/PID/stat, see proc(5).
type stat struct {
	name   []byte
	fields [lastStatField - 2][]byte // from the third
	memory []byte                    // see splitStat
}

const (
	lastStatField = 51
	statBuffer    = 4096 // bytes; every text fits
)

// splitStat allocates nothing. The name may hold blanks and parentheses.
//
// memory is where the process has its data, heap, arguments and environment
// (fields 45 to 51). After an exec these addresses are different: they are
// random, and where they are not they depend on the length of the environment.
// It is empty where they cannot be read, or while an exec is under way.
func splitStat(text []byte) (st stat) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open || end+2 > len(text) {
		return st
	}
	st.name = text[open+1 : end]
	rest := text[end+2:]
	at, memory := 0, 0
	for i := range st.fields {
		length := bytes.IndexByte(rest[at:], ' ')
		if length < 0 {
			return st
		}
		st.fields[i] = rest[at : at+length]
		if i == 45-3 {
			memory = at
		}
		at += length + 1
	}
	if string(st.field(lastStatField)) != "0" {
		st.memory = rest[memory : at-1]
	}
	return st
}

// field returns the field with that number in proc(5), from 3; empty when it is
// missing.
func (st *stat) field(number int) []byte { return st.fields[number-3] }

// number returns a numeric field; 0 when it is missing.
func (st *stat) number(field int) uint64 {
	n, _ := strconv.ParseUint(string(st.field(field)), 10, 64)
	return n
}

// dead reports a zombie, or a process that does not exist.
func (st *stat) dead() bool {
	state := st.field(3)
	return len(state) != 1 || state[0] == 'Z' || state[0] == 'X'
}

// readStat reads a process's /proc/PID/stat into buf, of statBuffer bytes.
func readStat(pid int, buf []byte) (stat, error) {
	text, err := readShort("/proc/"+strconv.Itoa(pid)+"/stat", buf)
	if err != nil {
		return stat{}, err
	}
	return splitStat(text), nil
}

// readShort reads a file that is shorter than buf with three system calls.
func readShort(path string, buf []byte) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	n, err := unix.Read(fd, buf)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Read(fd, buf)
	}
	_ = unix.Close(fd)
	return buf[:max(n, 0)], err
}
