package webconfig

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/common/config"
	"golang.org/x/crypto/bcrypt"
)

func hashOf(t testing.TB, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// newCounting returns an authenticator for users with the cheapest hashes, and
// the number of its bcrypts so far.
func newCounting(t testing.TB, users map[string]string) (*authenticator, *atomic.Int64) {
	t.Helper()
	hashes := map[string]config.Secret{}
	for name, password := range users {
		hashes[name] = config.Secret(hashOf(t, password, bcrypt.MinCost))
	}
	a, err := newAuthenticator(hashes)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	a.compare = func(hash, password []byte) error {
		n.Add(1)
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	return a, &n
}

func TestLogins(t *testing.T) {
	a, _ := newCounting(
		t,
		map[string]string{"prom": "s:cret", "ünï": "pässwörd", "long": strings.Repeat("x", 72), "": "nameless"},
	)
	for header, want := range map[string]Login{
		basic("prom", "s:cret"): LoginAccepted,
		"bAsIc " + base64.StdEncoding.EncodeToString([]byte("prom:s:cret")): LoginAccepted,
		basic("ünï", "pässwörd"):                                            LoginAccepted,
		basic("", "nameless"):                                               LoginAccepted,
		basic("long", strings.Repeat("x", 72)):                              LoginAccepted,
		basic("prom", "s:cret "):                                            LoginRejected,
		basic("prom", "S:cret"):                                             LoginRejected,
		basic("prom", ""):                                                   LoginRejected,
		basic("Prom", "s:cret"):                                             LoginRejected,
		basic("nobody", "s:cret"):                                           LoginRejected,
		basic("prom", strings.Repeat("x", 7000)):                            LoginRejected,
		"":                                                                  LoginRejected,
		"Basic":                                                             LoginRejected,
		"Basic ":                                                            LoginRejected,
		"Basic %%%":                                                         LoginRejected,
		"Basic " + base64.StdEncoding.EncodeToString([]byte("prom")): LoginRejected,
		"Bearer s:cret": LoginRejected,
	} {
		for range 2 { // decided, then cached
			if got := a.login([]byte(header)); got != want {
				t.Errorf("%.60q: %v, want %v", header, got, want)
			}
		}
	}
}

func TestOneBcryptForManyRequests(t *testing.T) {
	a, n := newCounting(t, map[string]string{"prom": "secret", "other": "secret"})
	for _, c := range []struct {
		header string
		want   Login
	}{
		{basic("prom", "secret"), LoginAccepted},
		{basic("other", "secret"), LoginAccepted},
		{basic("prom", "wrong"), LoginRejected},
		{basic("unknown", "secret"), LoginRejected},
	} {
		before := n.Load()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				for range 10 {
					if got := a.login([]byte(c.header)); got != c.want {
						t.Errorf("%q: %v", c.header, got)
					}
				}
			})
		}
		all.Wait()
		if got := n.Load() - before; got != 1 {
			t.Errorf("%q: %d bcrypts for 1000 requests", c.header, got)
		}
	}
	before := n.Load()
	for _, header := range []string{"", "Basic", "Basic !", "Bearer x"} {
		a.login([]byte(header))
	}
	if n.Load() != before {
		t.Error("a bcrypt for a header without credentials")
	}
}

// An unknown user costs as much time as a known one: a bcrypt with the slowest
// hash.
func TestUnknownUserTakesAsLong(t *testing.T) {
	slow := hashOf(t, "b", bcrypt.MinCost+1)
	a, err := newAuthenticator(
		map[string]config.Secret{
			"a": config.Secret(hashOf(t, "a", bcrypt.MinCost)),
			"b": config.Secret(slow),
			"c": config.Secret(hashOf(t, "c", bcrypt.MinCost)),
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	var compared []string
	a.compare = func(hash, password []byte) error {
		compared = append(compared, string(hash))
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	if a.login([]byte(basic("nobody", "b"))) != LoginRejected {
		t.Error("an unknown user is accepted with another user's password")
	}
	if len(compared) != 1 || compared[0] != slow {
		t.Errorf("compared with %q", compared)
	}
}

func TestAuthCacheIsBounded(t *testing.T) {
	a, n := newCounting(t, map[string]string{"prom": "secret"})
	valid := []byte(basic("prom", "secret"))
	if a.login(valid) != LoginAccepted {
		t.Fatal("rejected")
	}
	a.compare = func([]byte, []byte) error { return bcrypt.ErrMismatchedHashAndPassword }
	for i := range 2 * maxCached {
		a.login([]byte(basic("prom", fmt.Sprint(i))))
	}
	if got := len(*a.invalid.Load()); got != maxCached {
		t.Errorf("%d invalid credentials cached", got)
	}
	if a.login(valid) != LoginAccepted || n.Load() != 1 {
		t.Error("invalid credentials evicted valid ones")
	}
	a.compare = func([]byte, []byte) error { return nil }
	for i := range 2 * maxCached {
		a.login([]byte(basic("prom", fmt.Sprint("valid", i))))
	}
	if got := len(*a.valid.Load()); got != maxCached {
		t.Errorf("%d valid credentials cached", got)
	}
	if len(a.pending) != 0 {
		t.Errorf("%d checks are pending", len(a.pending))
	}
}

// Credentials beyond the limit of pending checks are rejected at once. Cached
// ones are answered meanwhile.
func TestPendingChecksAreBounded(t *testing.T) {
	a, _ := newCounting(t, map[string]string{"prom": "secret"})
	if a.login([]byte(basic("prom", "secret"))) != LoginAccepted {
		t.Fatal("rejected")
	}
	finish, begun := make(chan struct{}), make(chan struct{}, maxPending)
	a.compare = func([]byte, []byte) error {
		begun <- struct{}{}
		<-finish
		return bcrypt.ErrMismatchedHashAndPassword
	}
	var all sync.WaitGroup
	var busy atomic.Int64
	rejected := make(chan struct{}, 3*maxPending)
	for i := range 3 * maxPending {
		all.Go(func() {
			if a.login([]byte(basic("prom", fmt.Sprint(i)))) == LoginBusy {
				busy.Add(1)
				rejected <- struct{}{}
			}
		})
	}
	<-begun
	for range 2 * maxPending {
		<-rejected
	}
	if len(begun) != 0 {
		t.Error("two bcrypts at once")
	}
	if a.login([]byte(basic("prom", "secret"))) != LoginAccepted {
		t.Error("cached credentials had to wait")
	}
	close(finish)
	all.Wait()
	if busy.Load() != 2*maxPending {
		t.Errorf("%d rejected", busy.Load())
	}
}

func BenchmarkCachedLogin(b *testing.B) {
	a, _ := newCounting(b, map[string]string{"prom": "secret"})
	header := []byte(basic("prom", "secret"))
	a.login(header)
	b.ReportAllocs()
	for b.Loop() {
		if a.login(header) != LoginAccepted {
			b.Fatal("rejected")
		}
	}
}

// After a reload a user whose hash is the same costs no bcrypt. One with
// another hash, and one that is gone, is checked again.
func TestLoginsOutliveAReload(t *testing.T) {
	hashes := map[string]config.Secret{}
	for _, user := range []string{"same", "changed", "gone"} {
		hashes[user] = config.Secret(hashOf(t, user, bcrypt.MinCost))
	}
	old, err := newAuthenticator(hashes)
	if err != nil {
		t.Fatal(err)
	}
	for user := range hashes {
		if old.login([]byte(basic(user, user))) != LoginAccepted {
			t.Errorf("%s was rejected", user)
		}
	}
	_ = old.login([]byte(basic("same", "wrong")))
	a, n := newCounting(t, map[string]string{"changed": "other"})
	a.users["same"] = []byte(hashes["same"])
	a.inherit(old)
	for _, c := range []struct {
		user, password string
		want           Login
		bcrypts        int64
	}{
		{"same", "same", LoginAccepted, 0},
		{"same", "wrong", LoginRejected, 1},
		{"changed", "changed", LoginRejected, 1},
		{"changed", "other", LoginAccepted, 1},
		{"gone", "gone", LoginRejected, 1},
	} {
		before := n.Load()
		if got := a.login([]byte(basic(c.user, c.password))); got != c.want || n.Load()-before != c.bcrypts {
			t.Errorf("%s with password %s: %v, %d bcrypts", c.user, c.password, got, n.Load()-before)
		}
	}
	var none *authenticator
	none.inherit(old)
	a.inherit(none)
}
