package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// systemdListeners takes the sockets that systemd passed, see sd_listen_fds(3).
// It removes their variables from the environment, which children inherit.
func systemdListeners() ([]net.Listener, error) {
	var list []net.Listener
	for _, f := range activation.Files(true) {
		ln, err := net.FileListener(f)
		_ = f.Close() // ln has a descriptor of its own
		if err != nil {
			return nil, fmt.Errorf(
				"take socket %s from systemd: %w: the socket unit must have ListenStream= and Accept=no",
				f.Name(),
				err,
			)
		}
		list = append(list, ln)
	}
	if len(list) == 0 {
		return nil, errors.New(
			"flag --web.systemd-socket: systemd passed no socket: " +
				"start the exporter by its socket unit, or omit the flag",
		)
	}
	return list, nil
}

func addresses(list []net.Listener) []string {
	var s []string
	for _, ln := range list {
		s = append(s, ln.Addr().Network()+" "+ln.Addr().String())
	}
	return s
}

// notifier reports the state of the service to systemd, see sd_notify(3).
// Without a NOTIFY_SOCKET it does nothing.
type notifier struct {
	socket string // path or abstract address; empty: none
	log    *zap.Logger
}

// newNotifier removes NOTIFY_SOCKET from the environment, so that children
// cannot report for the service.
func newNotifier(log *zap.Logger) notifier {
	n := notifier{os.Getenv("NOTIFY_SOCKET"), log}
	_ = os.Unsetenv("NOTIFY_SOCKET") // never an error on Linux
	return n
}

func (n notifier) ready(status string) { n.send(daemon.SdNotifyReady, "STATUS="+status) }

// reloading must be followed by ready. The time is for units of
// Type=notify-reload.
func (n notifier) reloading() {
	n.send(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

func (n notifier) stopping() { n.send(daemon.SdNotifyStopping, "STATUS=stopping the scripts") }

func (n notifier) send(lines ...string) {
	if n.socket == "" {
		return
	}
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line, "\n", "; ")
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(strings.Join(lines, "\n")))
		_ = conn.Close()
	}
	if err != nil {
		n.log.Warn("cannot notify systemd", zap.String("state", lines[0]), zap.Error(err))
	}
}
