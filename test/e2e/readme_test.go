package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"stap-exporter/test/harness"
)

// readmeBlock returns the indented block of README that begins with a word, in
// the section about the service.
func readmeBlock(t *testing.T, begin string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## As a service\n")
	block := regexp.MustCompile(`(?m)(?:^    .*\n)+`)
	for _, b := range block.FindAllString(section, -1) {
		if strings.HasPrefix(b, "    "+begin) {
			return strings.ReplaceAll("\n"+b, "\n    ", "\n")[1:]
		}
	}
	t.Fatalf("README has no block that begins %q", begin)
	return ""
}

// The commands and the configuration in README for TLS, a user and Prometheus
// work as they are, and the man page has the same.
func TestREADMEFromInstallToPrometheus(t *testing.T) {
	harness.NeedStap(t)
	harness.NeedProgram(t, "prometheus")
	harness.NeedProgram(t, "htpasswd")
	t.Parallel()
	root := t.TempDir()
	install(t, root, "to")
	etc := filepath.Join(root, "etc")
	commands, config := readmeBlock(t, "umask"), readmeBlock(t, "scrape_configs:")

	page, err := os.ReadFile("../../packaging/man/stap-exporter.8")
	if err != nil {
		t.Fatal(err)
	}
	man := regexp.MustCompile(` *\\e\n *`).ReplaceAllString(string(page), " ")
	man = strings.ReplaceAll(man, `\-`, "-")
	for line := range strings.SplitSeq(strings.TrimSpace(commands+config), "\n") {
		if !strings.HasPrefix(line, "sed ") && !strings.HasPrefix(line, "systemctl ") &&
			!strings.Contains(man, line+"\n") {
			t.Errorf("the man page has no line %q", line)
		}
	}

	// Here the password comes from a pipe, the name is that of the loopback
	// interface, the directory is the test's, and there is no systemd.
	commands = strings.NewReplacer(
		"HOST", "localhost",
		"htpasswd -n", "echo 'open sesame' | htpasswd -in",
		" /etc/", " "+etc+"/",
		"=/etc/", "="+etc+"/",
	).Replace(commands)
	commands = regexp.MustCompile(`(?m)^systemctl .*\n`).ReplaceAllString(commands, "")
	shell := exec.Command("bash", "-euo", "pipefail", "-c", commands)
	shell.Dir = filepath.Join(etc, "stap-exporter")
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, commands, out)
	}
	const printFlags = `. "$0"; printf '%s\n' $KEEPALIVE $SCRIPTS $OPTIONS`
	flags, err := exec.Command("bash", "-uc", printFlags, filepath.Join(etc, "default/stap-exporter")).Output()
	if err != nil {
		t.Fatal(err)
	}
	e := harness.Start(
		t,
		shell.Dir,
		append([]string{"--cache.dir=" + t.TempDir()}, strings.Fields(string(flags))...)...)

	address := strings.Replace(strings.TrimPrefix(e.URL, "http://"), "127.0.0.1", "localhost", 1)
	p := startPrometheus(t, strings.NewReplacer(
		"HOST:9900", address,
		"PASSWORD", "open sesame",
		"stap-exporter.crt", filepath.Join(shell.Dir, "server.crt"),
	).Replace("global: {scrape_interval: 1s}\n"+config))
	for _, expr := range []string{
		`sum(up{job="stap"} == 1) == 2`,
		`sum(count_reads_total{job="stap",script="reads-by-process-autostart.stp"}) > 0`,
		`sum(stap_exporter_script_up{job="stap-exporter"}) == 2`,
	} {
		harness.Eventually(t, expr, func() bool { return len(p.query(expr)) == 1 })
	}
	if mode, err := os.Stat(filepath.Join(shell.Dir, "web.yml")); err != nil || mode.Mode().Perm() != 0o600 {
		t.Errorf("others can read the hashes: %v, %v", mode.Mode(), err)
	}
}
