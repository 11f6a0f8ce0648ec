package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// profiles are the names of the files to write; empty: none.
type profiles struct{ cpu, mutex, block, allocs string }

// start starts the profiles. stop ends them and writes the files.
func (p profiles) start() (stop func() error, err error) {
	if p.mutex != "" {
		runtime.SetMutexProfileFraction(10)
	}
	if p.block != "" {
		runtime.SetBlockProfileRate(10_000)
	}
	var cpu *os.File
	if p.cpu != "" {
		if cpu, err = os.Create(p.cpu); err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(cpu); err != nil {
			return nil, fmt.Errorf("start CPU profile: %w", err)
		}
	}
	return func() error {
		if cpu != nil {
			pprof.StopCPUProfile()
			if err := cpu.Close(); err != nil {
				return err
			}
		}
		for name, file := range map[string]string{"mutex": p.mutex, "block": p.block, "allocs": p.allocs} {
			if err := writeProfile(name, file); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func writeProfile(name, file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.Lookup(name).WriteTo(f, 0); err != nil {
		_ = f.Close()
		return fmt.Errorf("write %s profile: %w", name, err)
	}
	return f.Close()
}
