package webconfig

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/common/config"
	"golang.org/x/crypto/bcrypt"
)

const (
	// maxCached bounds each of the two caches. There are about as many valid
	// credentials as users. Invalid ones have a cache of their own, so that
	// guessing evicts no valid ones.
	maxCached = 256
	// maxPending bounds the different credentials that wait for their bcrypt.
	maxPending = 32
)

// Login is the result of checking credentials.
type Login uint8

// The results.
const (
	LoginRejected Login = iota // missing or wrong credentials
	LoginAccepted
	LoginBusy // too many credentials wait for their check: not known
)

// A credential stands for an Authorization header: its hash, keyed with a
// secret of the process, so that no password is kept in memory.
type credential [sha256.Size]byte

// authenticator checks basic authentication. Credentials cost one bcrypt,
// however many requests carry them. One bcrypt runs at a time, so that guessing
// takes one CPU at most.
//
// A check of cached credentials takes no lock and does not allocate.
type authenticator struct {
	users map[string][]byte // name to bcrypt hash
	// the slowest hash; an unknown user's password is compared with it, so that
	// the time of a reply does not reveal which users exist
	dummy   []byte
	secret  [32]byte
	compare func(hash, password []byte) error // bcrypt's; tests replace it

	// the user of each credential; the maps are immutable
	valid, invalid atomic.Pointer[map[credential]string]

	mu      sync.Mutex
	pending map[credential]*check
	slot    sync.Mutex // held during a bcrypt
}

// check is a bcrypt that runs or waits for the slot.
type check struct {
	done chan struct{}
	ok   bool // may be read once done is closed
}

// newAuthenticator returns nil when there are no users.
func newAuthenticator(users map[string]config.Secret) (*authenticator, error) {
	if len(users) == 0 {
		return nil, nil
	}
	a := &authenticator{
		users:   make(map[string][]byte, len(users)),
		compare: bcrypt.CompareHashAndPassword,
		pending: map[credential]*check{},
	}
	_, _ = rand.Read(a.secret[:]) // never fails
	a.valid.Store(&map[credential]string{})
	a.invalid.Store(&map[credential]string{})
	slowest := -1
	for _, name := range slices.Sorted(maps.Keys(users)) {
		hash := []byte(users[name])
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			return nil, &userError{name, fmt.Errorf("not a bcrypt hash (make one with htpasswd -nBC 10 NAME): %w", err)}
		}
		if cost > slowest {
			slowest, a.dummy = cost, hash
		}
		a.users[name] = hash
	}
	return a, nil
}

// inherit takes over the valid credentials of users whose hash is the same in
// old, which may be nil. Nobody may use a yet.
func (a *authenticator) inherit(old *authenticator) {
	if a == nil || old == nil {
		return
	}
	a.secret = old.secret
	valid := map[credential]string{}
	for id, user := range *old.valid.Load() {
		if hash, found := a.users[user]; found && bytes.Equal(hash, old.users[user]) {
			valid[id] = user
		}
	}
	a.valid.Store(&valid)
}

// login checks an Authorization header, which it does not keep.
func (a *authenticator) login(header []byte) Login {
	if len(header) == 0 {
		return LoginRejected
	}
	var buf [512]byte
	id := credential(sha256.Sum256(append(append(buf[:0], a.secret[:]...), header...)))
	if result, ok := a.cached(id); ok {
		return result
	}
	user, password, err := parseBasic(header)
	if err != nil {
		return LoginRejected
	}
	return a.decide(id, user, password)
}

// cached returns the result for credentials that were checked before.
func (a *authenticator) cached(id credential) (result Login, ok bool) {
	if _, ok := (*a.valid.Load())[id]; ok {
		return LoginAccepted, true
	}
	_, ok = (*a.invalid.Load())[id]
	return LoginRejected, ok
}

// decide runs a bcrypt, or waits for the result of one that another request
// runs for the same credentials.
func (a *authenticator) decide(id credential, user, password []byte) Login {
	a.mu.Lock()
	if result, ok := a.cached(id); ok { // since login read the caches
		a.mu.Unlock()
		return result
	}
	c, shared := a.pending[id]
	if !shared && len(a.pending) >= maxPending {
		a.mu.Unlock()
		return LoginBusy
	}
	if !shared {
		c = &check{done: make(chan struct{})}
		a.pending[id] = c
	}
	a.mu.Unlock()
	if shared {
		<-c.done
	} else {
		a.run(c, id, user, password)
	}
	if c.ok {
		return LoginAccepted
	}
	return LoginRejected
}

// run decides c by a bcrypt and caches the result.
func (a *authenticator) run(c *check, id credential, user, password []byte) {
	defer func() { // also after a panic, so that no other request waits forever
		a.mu.Lock()
		delete(a.pending, id)
		if c.ok {
			remember(&a.valid, id, string(user))
		} else {
			remember(&a.invalid, id, string(user))
		}
		a.mu.Unlock()
		close(c.done)
	}()
	a.slot.Lock()
	defer a.slot.Unlock()
	hash, found := a.users[string(user)]
	if !found {
		hash = a.dummy
	}
	err := a.compare(hash, password)
	c.ok = found && err == nil
}

// remember replaces the map of cache by one that also holds id. A full one
// drops another id.
func remember(cache *atomic.Pointer[map[credential]string], id credential, user string) {
	next := maps.Clone(*cache.Load())
	for old := range next { // in random order
		if len(next) < maxCached {
			break
		}
		delete(next, old)
	}
	next[id] = user
	cache.Store(&next)
}

var errNotBasic = errors.New("not basic authentication")

// parseBasic splits "Basic " and base64 of "user:password".
func parseBasic(header []byte) (user, password []byte, err error) {
	const scheme = "Basic "
	if len(header) < len(scheme) || !bytes.EqualFold(header[:len(scheme)], []byte(scheme)) {
		return nil, nil, errNotBasic
	}
	plain, err := base64.StdEncoding.AppendDecode(nil, header[len(scheme):])
	if err != nil {
		return nil, nil, errNotBasic
	}
	user, password, ok := bytes.Cut(plain, []byte(":"))
	if !ok {
		return nil, nil, errNotBasic
	}
	return user, password, nil
}
