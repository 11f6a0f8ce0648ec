package httpfront

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
	for header, want := range map[string]login{
		basic("prom", "s:cret"): loginGood,
		"bAsIc " + base64.StdEncoding.EncodeToString([]byte("prom:s:cret")): loginGood,
		basic("ünï", "pässwörd"):                                            loginGood,
		basic("", "nameless"):                                               loginGood,
		basic("long", strings.Repeat("x", 72)):                              loginGood,
		basic("prom", "s:cret "):                                            loginRefused,
		basic("prom", "S:cret"):                                             loginRefused,
		basic("prom", ""):                                                   loginRefused,
		basic("Prom", "s:cret"):                                             loginRefused,
		basic("nobody", "s:cret"):                                           loginRefused,
		basic("prom", strings.Repeat("x", 7000)):                            loginRefused,
		"":                                                                  loginRefused,
		"Basic":                                                             loginRefused,
		"Basic ":                                                            loginRefused,
		"Basic %%%":                                                         loginRefused,
		"Basic " + base64.StdEncoding.EncodeToString([]byte("prom")): loginRefused,
		"Bearer s:cret": loginRefused,
	} {
		for range 2 { // decided, then remembered
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
		want   login
	}{{basic("prom", "secret"), loginGood}, {basic("other", "secret"), loginGood}, {basic("prom", "wrong"), loginRefused}, {basic("unknown", "secret"), loginRefused}} {
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

// An unknown user costs the same work as a known one: a bcrypt with the hash
// that takes longest.
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
	if a.login([]byte(basic("nobody", "b"))) != loginRefused {
		// the right password of the hash, but not the user
		t.Error("an unknown user is let in")
	}
	if len(compared) != 1 || compared[0] != slow {
		t.Errorf("compared with %q", compared)
	}
}

func TestAuthCacheIsBounded(t *testing.T) {
	a, n := newCounting(t, map[string]string{"prom": "secret"})
	good := []byte(basic("prom", "secret"))
	if a.login(good) != loginGood {
		t.Fatal("refused")
	}
	a.compare = func([]byte, []byte) error { return bcrypt.ErrMismatchedHashAndPassword }
	for i := range 2 * authCached {
		a.login([]byte(basic("prom", fmt.Sprint(i))))
	}
	if got := len(*a.bad.Load()); got != authCached {
		t.Errorf("%d wrong logins remembered", got)
	}
	if a.login(good) != loginGood || n.Load() != 1 {
		t.Error("wrong logins pushed out the good one")
	}
	a.compare = func([]byte, []byte) error { return nil }
	for i := range 2 * authCached {
		a.login([]byte(basic("prom", fmt.Sprint("good", i))))
	}
	if got := len(*a.good.Load()); got != authCached {
		t.Errorf("%d good logins remembered", got)
	}
	if len(a.pending) != 0 {
		t.Errorf("%d checks are left", len(a.pending))
	}
}

// More guesses at once than may wait are turned away; what is known is answered
// at once meanwhile.
func TestGuessesWaitInABoundedQueue(t *testing.T) {
	a, _ := newCounting(t, map[string]string{"prom": "secret"})
	if a.login([]byte(basic("prom", "secret"))) != loginGood {
		t.Fatal("refused")
	}
	gate, begun := make(chan struct{}), make(chan struct{}, authWaiting)
	a.compare = func([]byte, []byte) error { begun <- struct{}{}; <-gate; return bcrypt.ErrMismatchedHashAndPassword }
	var all sync.WaitGroup
	var busy atomic.Int64
	turnedAway := make(chan struct{}, 3*authWaiting)
	for i := range 3 * authWaiting {
		all.Go(func() {
			if a.login([]byte(basic("prom", fmt.Sprint(i)))) == loginBusy {
				busy.Add(1)
				turnedAway <- struct{}{}
			}
		})
	}
	<-begun
	for range 2 * authWaiting {
		<-turnedAway
	}
	if len(begun) != 0 {
		t.Error("two bcrypts at once")
	}
	if a.login([]byte(basic("prom", "secret"))) != loginGood {
		t.Error("the known login had to wait")
	}
	close(gate)
	all.Wait()
	if busy.Load() != 2*authWaiting {
		t.Errorf("%d turned away", busy.Load())
	}
}

func BenchmarkCachedLogin(b *testing.B) {
	a, _ := newCounting(b, map[string]string{"prom": "secret"})
	header := []byte(basic("prom", "secret"))
	a.login(header)
	b.ReportAllocs()
	for b.Loop() {
		if a.login(header) != loginGood {
			b.Fatal("refused")
		}
	}
}
