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
// Their variables leave the environment: the children are not meant.
func systemdListeners() ([]net.Listener, error) {
	var list []net.Listener
	for _, f := range activation.Files(true) {
		ln, err := net.FileListener(f)
		_ = f.Close() // ln has a descriptor of its own
		if err != nil {
			return nil, fmt.Errorf(
				"take socket %s from systemd: %w: the socket unit is to have ListenStream= and Accept=no",
				f.Name(),
				err,
			)
		}
		list = append(list, ln)
	}
	if len(list) == 0 {
		return nil, errors.New(
			"flag --web.systemd-socket: systemd passed no socket: start the exporter by its socket unit, or leave the flag out",
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

// notifier tells systemd how the service is, see sd_notify(3). It does nothing
// when systemd did not ask.
type notifier struct {
	socket string
	log    *zap.Logger
}

// newNotifier takes systemd's variable out of the environment: what the
// children say does not count.
func newNotifier(log *zap.Logger) notifier {
	n := notifier{os.Getenv("NOTIFY_SOCKET"), log}
	_ = os.Unsetenv("NOTIFY_SOCKET") // never an error on Linux
	return n
}

func (n notifier) ready(status string) { n.send(daemon.SdNotifyReady, "STATUS="+status) }

// reloading has to be followed by ready. The time is for units of
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
		n.log.Warn("cannot tell systemd", zap.String("what", lines[0]), zap.Error(err))
	}
}
