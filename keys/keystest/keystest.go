// Package keystest holds [Run], the suite that every keys.Provider passes, and [Flaky], a provider
// that fails on purpose.
package keystest

import (
	"testing"

	"github.com/tufonline/tufonline/keys"
)

// A Backend makes a provider that holds the keys given, and no other, for one test. It skips the
// test where it cannot hold keys of that scheme. What has to be closed is closed by t.Cleanup.
type Backend func(t testing.TB, held ...Key) keys.Provider

// Run checks a provider against what package keys promises. It is joined in a few lines:
//
//	keystest.Run(t, func(t testing.TB, held ...keystest.Key) keys.Provider {
//		m := keys.NewMemory()
//		for _, k := range held {
//			m.Add(k.App, k.ID, k.Signer(t))
//		}
//		return m
//	})
func Run(t *testing.T, backend Backend) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) { r.check(t, backend) })
	}
}

// A rule is one promise. Its check takes an interface so that a test can see it fail.
type rule struct {
	name  string
	check func(testing.TB, Backend)
}

func rules() []rule {
	all := []rule{
		{"a key that is not held is no key", unknown},
		{"a key of another app is no key", otherApp},
		{"apps that begin alike share no keys", prefixes},
		{"one key ID may stand for two keys of two apps", sameID},
		{"a name that is no name gets no signer", hostile},
		{"a context that has ended does not make a key unknown", ended},
		{"a signer outlives the context of the call", outlives},
	}
	for _, k := range Kinds() {
		all = append(all,
			rule{"a key signs as declared: " + k.Name, func(t testing.TB, b Backend) { signs(t, b, k) }},
			rule{"all may sign at once: " + k.Name, func(t testing.TB, b Backend) { concurrent(t, b, k) }},
		)
	}
	return all
}
