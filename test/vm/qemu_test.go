//go:build vm

package vm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	bootCheckTimeout = 15 * time.Second // KVM takes one second
	guestTimeout     = 18 * time.Minute // of a whole run
)

var (
	// Without AVX, whose emulation costs more than it saves: all takes a fifth
	// less time.
	emulated = []string{"-accel", "tcg,thread=multi", "-cpu", "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt"}
	virtual  = []string{"-accel", "kvm", "-cpu", "host"}
)

// machine returns the qemu options of every boot.
func (b *bed) machine(accel []string, cmdline string) []string {
	return append(
		append([]string{}, accel...),
		"-machine",
		"q35",
		"-m",
		"2048",
		"-nodefaults",
		"-no-user-config",
		"-display",
		"none",
		"-no-reboot",
		"-monitor",
		"none",
		"-kernel",
		filepath.Join(b.guest, "vmlinuz"),
		"-initrd",
		filepath.Join(b.guest, "initrd.gz"),
		"-append",
		"console=ttyS0 panic=-1 quiet mitigations=off nokaslr random.trust_cpu=1 "+cmdline,
	)
}

// accel returns qemu's options for KVM if a kernel boots with it, and for
// emulation otherwise: /dev/kvm may exist and not work. The result of the boot
// check is kept until the host's kernel changes.
func (b *bed) accel() []string {
	if unix.Access("/dev/kvm", unix.R_OK|unix.W_OK) != nil {
		return emulated
	}
	var uts unix.Utsname
	_ = unix.Uname(&uts) // on an error the result is for a host without a name
	host := unix.ByteSliceToString(uts.Release[:]) + " " + unix.ByteSliceToString(uts.Version[:])
	kept := filepath.Join(b.guest, "kvm")
	if text, err := os.ReadFile(kept); err == nil {
		if answer, about, _ := strings.Cut(string(text), " "); about == host {
			return map[bool][]string{true: virtual, false: emulated}[answer == "works"]
		}
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), bootCheckTimeout)
	defer cancel()
	// the output has the result
	args := append(b.machine(virtual, "stap_vm.boot_check"), "-serial", "stdio")
	out, _ := exec.CommandContext(ctx, "qemu-system-x86_64", args...).Output()
	answer, accel := "fails", emulated
	if bytes.Contains(out, []byte("test/vm: boot check passed")) {
		answer, accel = "works", virtual
	}
	if err := os.WriteFile(kept, []byte(answer+" "+host), 0o644); err != nil {
		b.t.Error(err)
	}
	return accel
}

// run boots the guest, calls see with each line of the scenarios' output, and
// returns their exit status.
func (b *bed) run(see func(line string)) int {
	b.t.Helper()
	accel := b.accel()
	fmt.Printf("test/vm: booting, %s\n", accel[1])
	ctx, cancel := context.WithTimeout(b.t.Context(), guestTimeout)
	defer cancel()
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64", append(
		b.machine(accel, "tsc=reliable"),
		"-smp",
		"2",
		"-serial",
		"file:"+b.out+"/console",
		"-serial",
		"stdio",
		"-drive",
		"file="+b.guest+"/root.img,if=none,id=disk,format=raw,snapshot=on",
		"-device",
		"virtio-blk-pci,drive=disk",
		"-fsdev",
		"local,id=in,security_model=none,readonly=on,path="+b.in,
		"-device",
		"virtio-9p-pci,fsdev=in,mount_tag=in",
		"-fsdev",
		"local,id=out,security_model=none,path="+b.out,
		"-device",
		"virtio-9p-pci,fsdev=out,mount_tag=out",
		"-object",
		"rng-random,filename=/dev/urandom,id=rng",
		"-device",
		"virtio-rng-pci,rng=rng",
	)...)
	qemu.Stderr = os.Stderr
	output, err := qemu.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(b.out, "output"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	if err := qemu.Start(); err != nil {
		b.t.Fatal(err)
	}
	eachLine(io.TeeReader(output, log), see)
	if err := qemu.Wait(); err != nil {
		b.t.Errorf("qemu: %v (%v)", err, ctx.Err())
	}
	fmt.Printf(
		"test/vm: the guest took %.0f s of CPU time\n",
		(qemu.ProcessState.UserTime() + qemu.ProcessState.SystemTime()).Seconds(),
	)
	text, err := os.ReadFile(filepath.Join(b.out, "status"))
	if err != nil {
		b.t.Fatalf("the guest gave no status; the end of its console:\n%s", tail(filepath.Join(b.out, "console"), 10))
	}
	status, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		b.t.Fatal(err)
	}
	return status
}

func tail(file string, lines int) string {
	text, _ := os.ReadFile(file) // for the error message only
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
