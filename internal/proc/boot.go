package proc

import (
	"os"
	"strings"
	"sync"
)

// BootID identifies this boot of the machine. Process ids and start times are
// unique within one. It is empty when the kernel does not give it.
var BootID = sync.OnceValue(func() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
})
