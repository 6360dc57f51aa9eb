package simulation

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A paper is a file as the judge reads it. It shares no code with what it judges.
type paper struct {
	data    []byte
	sha     string
	problem error // why no client reads it; nil if clients do

	kind      string
	version   int64
	expires   time.Time
	content   string // the hash of all that is signed but version and expires
	canonical string
	signed    []sealed

	consistent  bool             // of a root
	roles       map[string]named // of a root
	meta        map[string]entry // of a snapshot and a timestamp, without .json
	paths       []string         // of the target files of a targets document
	delegations []named          // of a targets document, in order

	seals map[string]bool // whether a key, by its public half, has signed
}

// A sealed is one signature.
type sealed struct{ id, sig string }

// An entry is what a snapshot or a timestamp lists of a file.
type entry struct {
	version int64
	sha     string // "" if no SHA-256 is listed
}

// A named role is what a root or a targets document says of who signs for a role.
type named struct {
	name      string
	keys      map[string]*metadata.Key // by ID
	threshold int
	paths     []string
	prefixes  []string
	bits      int // of succinct bins, whose prefix is the name
}

// names returns the names of the roles that a delegation declares.
func (n named) names() []string {
	if n.bits == 0 {
		return []string{n.name}
	}
	var all []string
	digits := (n.bits + 3) / 4
	for i := range 1 << n.bits {
		all = append(all, fmt.Sprintf("%s-%0*x", n.name, digits, i))
	}
	return all
}

// half returns the public half of a key.
func half(k *metadata.Key) string { return k.Value.PublicKey }

// halves returns the public halves of a role's keys.
func (n named) halves() map[string]bool {
	all := map[string]bool{}
	for _, k := range n.keys {
		all[half(k)] = true
	}
	return all
}

// read returns a file as a paper. The same bytes are read once.
func (j *judge) read(data []byte) *paper {
	if p, ok := j.papers[string(data)]; ok {
		return p
	}
	sum := sha256.Sum256(data)
	p := &paper{data: data, sha: hex.EncodeToString(sum[:]), seals: map[string]bool{}}
	p.problem = p.parse()
	j.papers[string(data)] = p
	j.bySHA[p.sha] = p
	return p
}

func (p *paper) parse() error {
	var file struct {
		Signatures []struct{ KeyID, Sig string }
		Signed     json.RawMessage
	}
	if err := json.Unmarshal(p.data, &file); err != nil {
		return err
	}
	for _, s := range file.Signatures {
		p.signed = append(p.signed, sealed{s.KeyID, s.Sig})
	}
	return p.parseSigned(file.Signed)
}

// parseSigned reads what is signed.
func (p *paper) parseSigned(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var o object
	if err := decoder.Decode(&o); err != nil {
		return err
	}
	if err := everyClient(o); err != nil {
		return err
	}
	canonical, err := cjson.EncodeCanonical(o)
	if err != nil {
		return err
	}
	p.canonical = string(canonical)
	var said struct {
		Type       string `json:"_type"`
		Version    int64
		Expires    string
		Consistent bool `json:"consistent_snapshot"`
		Keys       map[string]*metadata.Key
		Roles      map[string]struct {
			KeyIDs    []string
			Threshold int
		}
		Meta map[string]struct {
			Version int64
			Hashes  map[string]string
		}
		Targets     map[string]json.RawMessage
		Delegations *struct {
			Keys  map[string]*metadata.Key
			Roles []struct {
				Name             string
				KeyIDs           []string
				Threshold        int
				Paths            []string
				PathHashPrefixes []string `json:"path_hash_prefixes"`
			}
			SuccinctRoles *struct {
				KeyIDs     []string
				Threshold  int
				BitLength  int    `json:"bit_length"`
				NamePrefix string `json:"name_prefix"`
			} `json:"succinct_roles"`
		}
	}
	if err := json.Unmarshal(data, &said); err != nil {
		return err
	}
	p.kind, p.version, p.consistent = said.Type, said.Version, said.Consistent
	if p.expires, err = time.Parse("2006-01-02T15:04:05Z", said.Expires); err != nil || len(said.Expires) != 20 {
		return fmt.Errorf("expires %q", said.Expires)
	}
	if p.version < 1 {
		return errors.New("version below 1")
	}
	delete(o, "version")
	delete(o, "expires")
	if canonical, err = cjson.EncodeCanonical(o); err != nil {
		return err
	}
	sum := sha256.Sum256(canonical)
	p.content = hex.EncodeToString(sum[:])
	pick := func(keys map[string]*metadata.Key, ids []string) map[string]*metadata.Key {
		picked := map[string]*metadata.Key{}
		for _, id := range ids {
			if keys[id] != nil {
				picked[id] = keys[id]
			}
		}
		return picked
	}
	p.roles, p.meta = map[string]named{}, map[string]entry{}
	for name, r := range said.Roles {
		p.roles[name] = named{name: name, keys: pick(said.Keys, r.KeyIDs), threshold: r.Threshold}
	}
	for name, m := range said.Meta {
		p.meta[strings.TrimSuffix(name, ".json")] = entry{m.Version, m.Hashes["sha256"]}
	}
	for path := range said.Targets {
		p.paths = append(p.paths, path)
	}
	if d := said.Delegations; d != nil {
		for _, r := range d.Roles {
			if (r.Paths == nil) == (r.PathHashPrefixes == nil) {
				return fmt.Errorf("delegation %s: paths and path_hash_prefixes", r.Name)
			}
			p.delegations = append(p.delegations, named{name: r.Name, keys: pick(d.Keys, r.KeyIDs),
				threshold: r.Threshold, paths: r.Paths, prefixes: r.PathHashPrefixes})
		}
		if s := d.SuccinctRoles; s != nil {
			p.delegations = append(p.delegations, named{name: s.NamePrefix, keys: pick(d.Keys, s.KeyIDs),
				threshold: s.Threshold, bits: s.BitLength})
		}
	}
	return nil
}

// everyClient returns an error for values that some client cannot read: integers beyond 2^53, and
// names that code points and UTF-16 order differently.
func everyClient(v any) error {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err != nil || n > 1<<53 || n < -1<<53 {
			return fmt.Errorf("number %s", v)
		}
	case []any:
		for _, v := range v {
			if err := everyClient(v); err != nil {
				return err
			}
		}
	case object:
		names := slices.Sorted(maps.Keys(v))
		if !slices.IsSortedFunc(names, func(a, b string) int {
			return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		}) {
			return fmt.Errorf("names %q", names)
		}
		for _, v := range v {
			if err := everyClient(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// by reports whether a threshold of a role's keys has signed the paper. Keys are told apart by
// their public halves.
func (p *paper) by(role named) bool {
	good := map[string]bool{}
	for _, s := range p.signed {
		if k := role.keys[s.id]; k != nil && p.sealedBy(k, s.sig) {
			good[half(k)] = true
		}
	}
	return role.threshold > 0 && len(good) >= role.threshold
}

// sealedBy reports whether a signature is a key's.
func (p *paper) sealedBy(k *metadata.Key, sig string) bool {
	memo := half(k) + sig
	if ok, known := p.seals[memo]; known {
		return ok
	}
	ok := verifies(k, sig, p.canonical)
	p.seals[memo] = ok
	return ok
}

func verifies(k *metadata.Key, sig, message string) bool {
	raw, err := hex.DecodeString(sig)
	if err != nil {
		return false
	}
	if k.Type == "ed25519" {
		public, err := hex.DecodeString(half(k))
		return err == nil && len(public) == ed25519.PublicKeySize && ed25519.Verify(public, []byte(message), raw)
	}
	public, err := k.ToPublicKey()
	if err != nil {
		return false
	}
	verifier, err := signature.LoadVerifier(public, 5)
	return err == nil && verifier.VerifySignature(bytes.NewReader(raw), strings.NewReader(message)) == nil
}

// wellFormed reports whether a file has the one form that this project writes: two members, without
// blanks.
func wellFormed(data []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil || len(members) != 2 || members["signed"] == nil {
		return false
	}
	var compact bytes.Buffer
	return json.Compact(&compact, data) == nil && compact.Len() == len(data)
}
