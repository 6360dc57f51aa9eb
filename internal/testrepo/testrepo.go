// Package testrepo builds TUF repositories for tests, and plays the client. It signs and verifies
// with go-tuf, so that tests compare this project's code with other code.
package testrepo

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/storage"
)

// Options describe a repository. By default it has consistent snapshots, Ed25519 keys, thresholds
// of one and compact files.
type Options struct {
	App          string // default acme/app
	Inconsistent bool   // no consistent snapshots
	Pretty       bool   // indented files
	Unknown      bool   // unknown fields in every object
	Hashes       bool   // snapshot and timestamp list lengths and hashes

	ExpiryPeriod  int // x-tuf-on-ci-expiry-period in days, for the top-level roles; 0: none
	SigningPeriod int // x-tuf-on-ci-signing-period, likewise

	Key        string               // the kind of key of the roles that Keys does not name
	Keys       map[string]string    // the kind of key by role
	Threshold  map[string]int       // by role
	Share      map[string]string    // roles that have the keys of another role, by role
	Expires    map[string]time.Time // by role; default in ten days
	Delegation []Delegation         // from targets
	HashBins   int                  // bins-0 to bins-f delegated by hash prefixes, if not 0
	Succinct   int                  // bit length of succinct bins "bin-…", if not 0
	BinTarget  string               // path of a target file in the succinct bin that it belongs to
	Listed     []string             // roles that the snapshot lists without a delegation or a file
}

// A Delegation describes a delegated role and the roles that it delegates to.
type Delegation struct {
	Name     string
	Paths    []string
	Target   string // path of a target file; its content is the path
	Children []Delegation
}

// A Repo is a repository and all its private keys.
type Repo struct {
	App     string
	Store   storage.Store
	Root    []byte            // the first root
	Pin     []byte            // the root that the operator has pinned since; nil: the first
	Keys    map[string][]*Key // by role; bins by their prefix
	options Options
	root    *metadata.Metadata[metadata.RootType] // the newest
	shared  map[string]bool                       // roles whose keys were made for another role
}

// TopTarget is the target file that targets has in every repository.
const TopTarget = "hello.txt"

// New builds a repository in a store and publishes it.
func New(t testing.TB, store storage.Store, o Options) *Repo {
	t.Helper()
	if o.App == "" {
		o.App = "acme/app"
	}
	r := &Repo{App: o.App, Store: store, Keys: map[string][]*Key{}, options: o, shared: map[string]bool{}}
	r.buildRoot(t)
	snapshot := metadata.Snapshot(r.expires(metadata.SNAPSHOT))
	r.buildTargets(t, snapshot)
	for _, role := range o.Listed {
		snapshot.Signed.Meta[role+".json"] = r.metaFile(1, []byte(role))
	}
	if o.Unknown {
		snapshot.Signed.UnrecognizedFields = unknown("snapshot")
	}
	snapshotFile := sign(t, r, metadata.SNAPSHOT, snapshot)
	r.create(t, metadata.SNAPSHOT, 1, snapshotFile)
	timestamp := metadata.Timestamp(r.expires(metadata.TIMESTAMP))
	timestamp.Signed.Meta["snapshot.json"] = r.metaFile(1, snapshotFile)
	if o.Unknown {
		timestamp.Signed.UnrecognizedFields = unknown("timestamp")
	}
	r.replace(t, "timestamp.json", sign(t, r, metadata.TIMESTAMP, timestamp))
	return r
}

func unknown(where string) map[string]any {
	return map[string]any{"x-unknown": map[string]any{"where": where, "list": []any{"b", "a", 1}, "null": nil}}
}

// newKeys makes keys for a role, as many as its threshold.
func (r *Repo) newKeys(t testing.TB, role string) []*Key {
	t.Helper()
	if other := r.options.Share[role]; other != "" && r.Keys[role] == nil {
		if r.Keys[other] == nil {
			r.newKeys(t, other)
			r.shared[other] = true
		}
		r.Keys[role] = r.Keys[other]
		return r.Keys[role]
	}
	if r.shared[role] { // made before it was its turn
		delete(r.shared, role)
		return r.Keys[role]
	}
	kind := r.options.Keys[role]
	if kind == "" {
		kind = cmp.Or(r.options.Key, Ed25519)
	}
	var keys []*Key
	for range r.threshold(role) {
		k := NewKey(t, kind)
		if r.options.Unknown {
			k.Public.UnrecognizedFields = unknown("key of " + role)
		}
		keys = append(keys, k)
	}
	r.Keys[role] = keys
	return keys
}

func (r *Repo) threshold(role string) int { return max(1, r.options.Threshold[role]) }

func (r *Repo) expires(role string) time.Time {
	if e, ok := r.options.Expires[role]; ok {
		return e.UTC().Truncate(time.Second)
	}
	return time.Now().UTC().Truncate(time.Second).AddDate(0, 0, 10)
}

func (r *Repo) buildRoot(t testing.TB) {
	t.Helper()
	r.root = metadata.Root(r.expires(metadata.ROOT))
	r.root.Signed.ConsistentSnapshot = !r.options.Inconsistent
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		for _, k := range r.newKeys(t, role) {
			require.NoError(t, r.root.Signed.AddKey(k.Public, role))
		}
		r.root.Signed.Roles[role].Threshold = r.threshold(role)
		if r.options.Unknown {
			r.root.Signed.Roles[role].UnrecognizedFields = unknown("role " + role)
		}
		for field, days := range map[string]int{
			"x-tuf-on-ci-expiry-period": r.options.ExpiryPeriod, "x-tuf-on-ci-signing-period": r.options.SigningPeriod,
		} {
			if days != 0 {
				if r.root.Signed.Roles[role].UnrecognizedFields == nil {
					r.root.Signed.Roles[role].UnrecognizedFields = map[string]any{}
				}
				r.root.Signed.Roles[role].UnrecognizedFields[field] = days
			}
		}
	}
	if r.options.Unknown {
		r.root.Signed.UnrecognizedFields = unknown("root")
	}
	r.Root = sign(t, r, metadata.ROOT, r.root)
	r.create(t, metadata.ROOT, 1, r.Root)
}

func (r *Repo) buildTargets(t testing.TB, snapshot *metadata.Metadata[metadata.SnapshotType]) {
	t.Helper()
	targets := metadata.Targets(r.expires(metadata.TARGETS))
	r.AddTarget(t, &targets.Signed, TopTarget)
	all := r.options.Delegation
	if n := r.options.HashBins; n > 0 {
		for i := range 16 {
			all = append(all, Delegation{Name: fmt.Sprintf("bins-%x", i)})
		}
	}
	r.delegate(t, &targets.Signed, snapshot, all)
	if bits := r.options.Succinct; bits > 0 {
		r.buildSuccinct(t, &targets.Signed, snapshot, bits)
	}
	r.publishTargets(t, metadata.TARGETS, targets, snapshot)
}

// delegate adds delegations to a targets document and publishes the delegated roles.
func (r *Repo) delegate(t testing.TB, from *metadata.TargetsType, snapshot *metadata.Metadata[metadata.SnapshotType],
	all []Delegation) {
	t.Helper()
	for _, d := range all {
		role := metadata.Targets(r.expires(d.Name))
		if d.Target != "" {
			r.AddTarget(t, &role.Signed, d.Target)
		}
		r.delegate(t, &role.Signed, snapshot, d.Children)
		r.Declare(t, from, d)
		r.publishTargets(t, d.Name, role, snapshot)
	}
}

// Declare adds a delegated role with new keys to a targets document.
func (r *Repo) Declare(t testing.TB, from *metadata.TargetsType, d Delegation) {
	t.Helper()
	if from.Delegations == nil {
		from.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
		if r.options.Unknown {
			from.Delegations.UnrecognizedFields = unknown("delegations")
		}
	}
	role := metadata.DelegatedRole{Name: d.Name, Paths: d.Paths, Threshold: r.threshold(d.Name)}
	if len(d.Paths) == 0 {
		role.PathHashPrefixes = []string{d.Name[len(d.Name)-1:]}
	}
	if r.options.Unknown {
		role.UnrecognizedFields = unknown("delegated role " + d.Name)
	}
	for _, k := range r.newKeys(t, d.Name) {
		from.Delegations.Keys[k.ID] = k.Public
		role.KeyIDs = append(role.KeyIDs, k.ID)
	}
	from.Delegations.Roles = append(from.Delegations.Roles, role)
}

func (r *Repo) buildSuccinct(t testing.TB, from *metadata.TargetsType,
	snapshot *metadata.Metadata[metadata.SnapshotType], bits int) {
	t.Helper()
	keys := r.newKeys(t, "bin")
	succinct := &metadata.SuccinctRoles{Threshold: r.threshold("bin"), BitLength: bits, NamePrefix: "bin"}
	from.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, SuccinctRoles: succinct}
	for _, k := range keys {
		from.Delegations.Keys[k.ID] = k.Public
		succinct.KeyIDs = append(succinct.KeyIDs, k.ID)
	}
	binOfTarget := ""
	if path := r.options.BinTarget; path != "" {
		binOfTarget = succinct.GetRolesForTarget(path)[0].Name
	}
	for _, name := range succinct.GetRoles() {
		r.Keys[name] = keys
		bin := metadata.Targets(r.expires(name))
		if name == binOfTarget {
			r.AddTarget(t, &bin.Signed, r.options.BinTarget)
		}
		r.publishTargets(t, name, bin, snapshot)
	}
}

// publishTargets signs and writes version 1 of a targets role and lists it in the snapshot.
func (r *Repo) publishTargets(t testing.TB, role string, md *metadata.Metadata[metadata.TargetsType],
	snapshot *metadata.Metadata[metadata.SnapshotType],
) {
	t.Helper()
	if r.options.Unknown {
		md.Signed.UnrecognizedFields = unknown("targets role " + role)
	}
	data := sign(t, r, role, md)
	r.create(t, role, 1, data)
	snapshot.Signed.Meta[role+".json"] = r.metaFile(1, data)
}

// AddTarget adds a target file to a targets document and puts it into the store. The file's content
// is its path.
func (r *Repo) AddTarget(t testing.TB, to *metadata.TargetsType, path string) {
	t.Helper()
	info, err := metadata.TargetFile().FromBytes(path, []byte(path), "sha256")
	require.NoError(t, err)
	if r.options.Unknown {
		info.UnrecognizedFields = unknown("target " + path)
	}
	to.Targets[path] = info
	name := path
	if !r.options.Inconsistent {
		dir, base := "", path
		for i := range path {
			if path[i] == '/' {
				dir, base = path[:i+1], path[i+1:]
			}
		}
		name = fmt.Sprintf("%s%x.%s", dir, sha256.Sum256([]byte(path)), base)
	}
	_, err = r.Store.Create(t.Context(), r.App+"/targets/"+name, []byte(path))
	require.NoError(t, err)
}

func (r *Repo) metaFile(version int64, data []byte) *metadata.MetaFiles {
	m := metadata.MetaFile(version)
	if r.options.Hashes {
		sum := sha256.Sum256(data)
		m.Length, m.Hashes = int64(len(data)), metadata.Hashes{"sha256": sum[:]}
	}
	if r.options.Unknown {
		m.UnrecognizedFields = unknown("listed file")
	}
	return m
}

// sign signs a document with all keys of its role and returns the file.
func sign[T metadata.Roles](t testing.TB, r *Repo, role string, md *metadata.Metadata[T]) []byte {
	t.Helper()
	if r.options.Unknown {
		md.UnrecognizedFields = unknown("envelope")
	}
	return SignWith(t, md, r.options.Pretty, r.Keys[role]...)
}

// SignWith signs a document with these keys only and returns the file.
func SignWith[T metadata.Roles](t testing.TB, md *metadata.Metadata[T], pretty bool, keys ...*Key) []byte {
	t.Helper()
	md.ClearSignatures()
	seen := map[string]bool{}
	for _, k := range keys {
		if seen[k.ID] {
			continue
		}
		seen[k.ID] = true
		_, err := md.Sign(k.Sigstore(t))
		require.NoError(t, err)
	}
	data, err := md.ToBytes(pretty)
	require.NoError(t, err)
	return data
}

// File returns the name of a role's file in the store.
func (r *Repo) File(role string, version int64) string {
	if role == metadata.TIMESTAMP || r.options.Inconsistent && role != metadata.ROOT {
		return r.App + "/" + role + ".json"
	}
	return fmt.Sprintf("%s/%d.%s.json", r.App, version, role)
}

// create writes a new version. Without consistent snapshots it overwrites the version before.
func (r *Repo) create(t testing.TB, role string, version int64, data []byte) {
	t.Helper()
	if r.options.Inconsistent && role != metadata.ROOT {
		r.replace(t, role+".json", data)
		return
	}
	_, err := r.Store.Create(t.Context(), r.File(role, version), data)
	require.NoError(t, err)
}

func (r *Repo) replace(t testing.TB, name string, data []byte) {
	t.Helper()
	old, err := r.Store.Get(t.Context(), r.App+"/"+name)
	if !errors.Is(err, storage.ErrNotFound) {
		require.NoError(t, err)
	}
	_, err = r.Store.Replace(t.Context(), r.App+"/"+name, old.Version, data)
	require.NoError(t, err)
}

// Consistent reports whether the repository has consistent snapshots.
func (r *Repo) Consistent() bool { return !r.options.Inconsistent }

// Switch has the repository change its layout. Its files stay as they are.
func (r *Repo) Switch(consistent bool) { r.options.Inconsistent = !consistent }
