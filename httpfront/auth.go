package httpfront

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
	// authCached bounds each of the two caches. Good ones are about as many as
	// users; the bad ones are apart from them, so that whoever tries passwords
	// pushes no good one out.
	authCached = 256
	// authWaiting bounds the different credentials that wait for their bcrypt.
	authWaiting = 32
)

// A login is what somebody's credentials are worth.
type login uint8

const (
	loginRefused login = iota
	loginGood
	loginBusy // too many wait for an answer: nothing is known
)

// A credential stands for an Authorization header: its hash, keyed with a
// secret of the process, so that no password is kept in memory.
type credential [sha256.Size]byte

// authenticator checks basic authentication. Each set of credentials costs one
// bcrypt, however many requests bring it; one bcrypt runs at a time, so that
// guessing costs the machine one CPU at most.
// A check of cached credentials takes no lock and allocates nothing.
type authenticator struct {
	users map[string][]byte // name to bcrypt hash
	// what an unknown user's password is compared with: the hash that takes
	// longest
	dummy   []byte
	secret  [32]byte
	compare func(hash, password []byte) error // bcrypt's, but in tests

	good, bad atomic.Pointer[map[credential]struct{}] // immutable maps

	mu      sync.Mutex
	pending map[credential]*check
	slot    sync.Mutex // held during a bcrypt
}

// check is a bcrypt that is under way or waits for its turn.
type check struct {
	done chan struct{}
	ok   bool // to be read after done
}

// newAuthenticator returns nil when there are no users: then nobody has to log
// in.
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
	a.good.Store(&map[credential]struct{}{})
	a.bad.Store(&map[credential]struct{}{})
	slowest := -1
	for _, name := range slices.Sorted(maps.Keys(users)) {
		hash := []byte(users[name])
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			return nil, &userError{name, fmt.Errorf("no bcrypt hash (make one with htpasswd -nBC 10 NAME): %w", err)}
		}
		if cost > slowest {
			slowest, a.dummy = cost, hash
		}
		a.users[name] = hash
	}
	return a, nil
}

// login says what an Authorization header is worth. header is not kept.
func (a *authenticator) login(header []byte) login {
	if len(header) == 0 {
		return loginRefused
	}
	var buf [512]byte
	id := credential(sha256.Sum256(append(append(buf[:0], a.secret[:]...), header...)))
	if _, ok := (*a.good.Load())[id]; ok {
		return loginGood
	}
	if _, ok := (*a.bad.Load())[id]; ok {
		return loginRefused
	}
	user, password, err := parseBasic(header)
	if err != nil {
		return loginRefused
	}
	return a.decide(id, user, password)
}

// decide finds out by bcrypt, or waits for whoever does so for the same
// credentials.
func (a *authenticator) decide(id credential, user, password []byte) login {
	a.mu.Lock()
	c, shared := a.pending[id]
	switch {
	case shared:
	case a.known(id): // since login looked
		a.mu.Unlock()
		if _, ok := (*a.good.Load())[id]; ok {
			return loginGood
		}
		return loginRefused
	case len(a.pending) >= authWaiting:
		a.mu.Unlock()
		return loginBusy
	default:
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
		return loginGood
	}
	return loginRefused
}

func (a *authenticator) known(id credential) bool {
	_, good := (*a.good.Load())[id]
	_, bad := (*a.bad.Load())[id]
	return good || bad
}

func (a *authenticator) run(c *check, id credential, user, password []byte) {
	defer func() { // also after a panic: nobody is to wait for ever
		a.mu.Lock()
		delete(a.pending, id)
		if c.ok {
			remember(&a.good, id)
		} else {
			remember(&a.bad, id)
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

// remember swaps in a map that holds id, too, in place of any other one when it
// is full.
func remember(cache *atomic.Pointer[map[credential]struct{}], id credential) {
	next := maps.Clone(*cache.Load())
	for old := range next { // in random order
		if len(next) < authCached {
			break
		}
		delete(next, old)
	}
	next[id] = struct{}{}
	cache.Store(&next)
}

var errNotBasic = errors.New("not basic authentication")

// parseBasic takes "Basic " and base64 of "user:password" apart.
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
