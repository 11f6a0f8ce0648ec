package toolchain

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (linux/seccomp.h), little endian: number,
// architecture, instruction pointer, six arguments of 8 bytes.
const (
	seccompNumber = 0
	seccompArch   = 4
	seccompArgs   = 16
)

var auditArch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// memlockFilter answers 0 ("done") to setrlimit(RLIMIT_MEMLOCK, …) and to
// prlimit64(any process, RLIMIT_MEMLOCK, a new limit, …), and lets every other
// call through, also all those of another calling convention than arch. It
// allows nothing that was forbidden.
func memlockFilter(arch uint32) []unix.SockFilter {
	// Where instructions stand in the program below; seccomp's jumps are
	// relative, so each counts from its own place.
	const (
		prlimit   = 4
		resource1 = 9  // prlimit64 has the resource in argument 1
		resource0 = 11 // setrlimit in argument 0
		compare   = 12
		done      = 13
		allow     = 14
	)
	var program []unix.SockFilter
	load := func(offset uint32) {
		program = append(program, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset})
	}
	ifEqual := func(value uint32, yes, no int) {
		next := len(program) + 1
		program = append(program, unix.SockFilter{
			Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			Jt:   uint8(yes - next),
			Jf:   uint8(no - next),
			K:    value,
		})
	}
	answer := func(value uint32) {
		program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value})
	}
	load(seccompArch)
	ifEqual(arch, 2, allow)
	load(seccompNumber)
	ifEqual(unix.SYS_SETRLIMIT, resource0, prlimit)
	ifEqual(unix.SYS_PRLIMIT64, 5, allow)
	load(seccompArgs + 2*8) // pointer to the new limit: null only asks
	ifEqual(0, 7, resource1)
	load(seccompArgs + 2*8 + 4) // its upper half
	ifEqual(0, allow, resource1)
	load(seccompArgs + 1*8)
	program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: compare - resource0})
	load(seccompArgs + 0*8)
	ifEqual(unix.RLIMIT_MEMLOCK, done, allow)
	answer(unix.SECCOMP_RET_ERRNO) // with errno 0
	answer(unix.SECCOMP_RET_ALLOW)
	return program
}

// filterMemlock installs memlockFilter for the calling thread and what it
// execs. Without CAP_SYS_ADMIN the kernel wants no_new_privs first, which
// disables set-user-id programs: no loss for root, and so only for root.
func filterMemlock() error {
	arch, ok := auditArch[runtime.GOARCH]
	if !ok {
		return errors.New("no filter for " + runtime.GOARCH)
	}
	program := memlockFilter(arch)
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	install := func() error {
		// Not unix.Prctl: only a direct Syscall may take a pointer as a number.
		_, _, errno := unix.Syscall(
			unix.SYS_PRCTL,
			unix.PR_SET_SECCOMP,
			unix.SECCOMP_MODE_FILTER,
			uintptr(unsafe.Pointer(&fprog)),
		)
		if errno != 0 {
			return errno
		}
		return nil
	}
	err := install()
	if errors.Is(err, unix.EACCES) {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
		err = install()
	}
	return err
}
