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

// memlockFilter returns a filter that reports success for
// setrlimit(RLIMIT_MEMLOCK, …) and prlimit64(any process, RLIMIT_MEMLOCK, a new
// limit, …) without executing them. It passes every other call to the kernel,
// and every call of another architecture than arch. So it permits nothing that
// was forbidden.
func memlockFilter(arch uint32) []unix.SockFilter {
	// Indices of instructions in the filter. A jump is relative to the
	// instruction after it.
	const (
		prlimit   = 4
		resource1 = 9  // prlimit64: the resource is argument 1
		resource0 = 11 // setrlimit: it is argument 0
		compare   = 12
		done      = 13
		allow     = 14
	)
	var filter []unix.SockFilter
	load := func(offset uint32) {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset})
	}
	ifEqual := func(value uint32, yes, no int) {
		next := len(filter) + 1
		filter = append(filter, unix.SockFilter{
			Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			Jt:   uint8(yes - next),
			Jf:   uint8(no - next),
			K:    value,
		})
	}
	result := func(value uint32) {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value})
	}
	load(seccompArch)
	ifEqual(arch, 2, allow)
	load(seccompNumber)
	ifEqual(unix.SYS_SETRLIMIT, resource0, prlimit)
	ifEqual(unix.SYS_PRLIMIT64, 5, allow)
	load(seccompArgs + 2*8) // pointer to the new limit; null: a query
	ifEqual(0, 7, resource1)
	load(seccompArgs + 2*8 + 4) // its upper half
	ifEqual(0, allow, resource1)
	load(seccompArgs + 1*8)
	filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: compare - resource0})
	load(seccompArgs + 0*8)
	ifEqual(unix.RLIMIT_MEMLOCK, done, allow)
	result(unix.SECCOMP_RET_ERRNO) // with errno 0
	result(unix.SECCOMP_RET_ALLOW)
	return filter
}

// filterMemlock installs memlockFilter for the calling thread and the
// executables that the thread becomes. Without CAP_SYS_ADMIN the kernel
// requires no_new_privs first, which disables set-user-ID executables. Root
// loses nothing by that; other users must not call it.
func filterMemlock() error {
	arch, ok := auditArch[runtime.GOARCH]
	if !ok {
		return errors.New("no seccomp filter for architecture " + runtime.GOARCH)
	}
	filter := memlockFilter(arch)
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	install := func() error {
		// Not unix.Prctl: only a direct Syscall may convert a pointer to a
		// uintptr.
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
