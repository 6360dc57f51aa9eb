package simulation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
)

// An object is a JSON object, read so that numbers stay as they are.
type object = map[string]any

// A draft is a document that holders or an attacker make.
type draft struct {
	world  *World
	role   string
	signed object
	whole  object // with the signatures that it had; nil if it had none
}

// decode reads a document. What is none has been written wrongly by the history.
func decode(data []byte) object {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var o object
	if err := decoder.Decode(&o); err != nil {
		panic(mistake("no document: " + err.Error()))
	}
	return o
}

// draftOf returns a draft of what a file says.
func (w *World) draftOf(role string, data []byte) *draft {
	whole := decode(data)
	signed, ok := whole["signed"].(object)
	if !ok {
		panic(mistake("no document"))
	}
	return &draft{w, role, signed, whole}
}

// emptyTargets returns a draft of a targets role that says nothing yet.
func (w *World) emptyTargets(role string) *draft {
	return &draft{w, role, object{
		"_type": "targets", "spec_version": "1.0.31", "version": json.Number("1"), "targets": object{},
		"expires": at(10 * 24 * time.Hour),
	}, nil}
}

// at returns a moment from now as documents give it.
func at(d time.Duration) string {
	return time.Now().Add(d).UTC().Truncate(time.Second).Format(time.RFC3339)
}

func toNumber(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

// change takes the changes up that words ask for, and reports whether there were any.
func (d *draft) change(words *words) bool {
	left := len(words.left)
	if version, ok := words.option("version"); ok {
		d.signed["version"] = json.Number(version)
	}
	if expires, ok := words.option("expires"); ok {
		d.signed["expires"] = at(duration(expires))
	}
	for _, path := range words.all("target") {
		d.target(path, path)
	}
	for _, path := range words.all("evil") {
		d.target(path, "evil")
	}
	for _, path := range words.all("drop") {
		delete(d.object("targets"), path)
	}
	for _, text := range words.all("undelegate") {
		d.undelegate(text)
	}
	for _, text := range words.all("delegate") {
		d.delegate(text)
	}
	for _, text := range words.all("rekey") {
		d.rekey(text)
	}
	for name, n := range words.pairs("threshold") {
		d.delegation(name)["threshold"] = json.Number(n)
	}
	for role, version := range words.pairs("list") {
		d.object("meta")[role+".json"] = object{"version": json.Number(version)}
	}
	for _, role := range words.list("unlist") {
		delete(d.object("meta"), role+".json")
	}
	for _, text := range words.all("set") {
		place, value, _ := strings.Cut(text, ":")
		d.put(place, json.RawMessage(value))
	}
	for _, place := range words.all("unset") {
		d.put(place, nil)
	}
	return len(words.left) < left
}

// object returns the object of a name in signed, which is made if there is none.
func (d *draft) object(name string) object {
	o, ok := d.signed[name].(object)
	if !ok {
		o = object{}
		d.signed[name] = o
	}
	return o
}

// target adds a target file. If its content is its path, the file is put into the store too.
func (d *draft) target(path, content string) {
	w := d.world
	md := metadata.Targets(time.Now())
	if content == path {
		name := w.repo.App + "/targets/"
		if _, err := w.store.Memory.Get(w.t.Context(), name+path); err != nil {
			w.addTarget(md, path)
		}
	}
	info, err := metadata.TargetFile().FromBytes(path, []byte(content), "sha256")
	if err != nil {
		panic(err)
	}
	d.object("targets")[path] = toObject(info)
}

// addTarget puts a target file into the store, unless it is there.
func (w *World) addTarget(md *metadata.Metadata[metadata.TargetsType], path string) {
	for name := range w.files() {
		if strings.Contains(name, "/targets/") && strings.HasSuffix(name, "."+path[strings.LastIndexByte(path, '/')+1:]) {
			return
		}
	}
	w.repo.AddTarget(w.t, &md.Signed, path)
}

// toObject returns a value as JSON has it.
func toObject(v any) object {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return decode(data)
}

// delegations returns the delegations, which are made if there are none.
func (d *draft) delegations() object {
	o := d.object("delegations")
	if o["keys"] == nil {
		o["keys"] = object{}
		o["roles"] = []any{}
	}
	return o
}

// delegation returns the delegation to a role.
func (d *draft) delegation(name string) object {
	roles, _ := d.delegations()["roles"].([]any)
	for _, role := range roles {
		if o, ok := role.(object); ok && o["name"] == name {
			return o
		}
	}
	if o, ok := d.delegations()["succinct_roles"].(object); ok && o["name_prefix"] == name {
		return o
	}
	panic(mistake("no delegation to " + name))
}

// delegate adds NAME:PATHS[:KEY,…]. Without keys the role gets new ones.
func (d *draft) delegate(text string) {
	name, rest, _ := strings.Cut(text, ":")
	paths, keys, named := strings.Cut(rest, ":")
	role := object{"name": name, "paths": strings.Split(paths, ","), "terminating": false, "threshold": json.Number("1")}
	roles, _ := d.delegations()["roles"].([]any)
	d.delegations()["roles"] = append(roles, role)
	d.declare(role, name, keys, named)
}

// rekey gives NAME[:KEY,…] other keys. Without keys they are new.
func (d *draft) rekey(text string) {
	name, keys, named := strings.Cut(text, ":")
	d.declare(d.delegation(name), name, keys, named)
}

// declare declares the keys of a role. Keys that the role does not have yet are made. Those that
// are named become the role's where it had none.
func (d *draft) declare(role object, name, named string, isNamed bool) {
	w := d.world
	var all []*testrepo.Key
	if isNamed {
		all = w.keysNamed(strings.Split(named, ","))
		if len(w.repo.Keys[name]) == 0 {
			w.repo.Keys[name] = all
		}
	} else {
		for range max(1, w.options.Threshold[name]) {
			all = append(all, w.newKey(name))
		}
		w.repo.Keys[name] = all
		for bin := range w.repo.Keys {
			if role["name_prefix"] == name && strings.HasPrefix(bin, name+"-") {
				w.repo.Keys[bin] = all
			}
		}
	}
	declared, _ := d.delegations()["keys"].(object)
	ids := []any{}
	for _, k := range all {
		declared[k.ID] = toObject(k.Public)
		ids = append(ids, k.ID)
	}
	role["keyids"] = ids
}

func (d *draft) undelegate(name string) {
	roles, _ := d.delegations()["roles"].([]any)
	roles = slices.DeleteFunc(roles, func(role any) bool {
		o, ok := role.(object)
		return ok && o["name"] == name
	})
	switch {
	case len(roles) > 0:
		d.delegations()["roles"] = roles
	case d.delegations()["succinct_roles"] != nil:
		delete(d.delegations(), "roles")
	default: // go-tuf cannot read roles that are empty
		delete(d.signed, "delegations")
	}
}

// put puts a value into a place, or takes out what is there if it is nil.
func (d *draft) put(place string, value json.RawMessage) {
	var decoded any
	if value != nil {
		decoder := json.NewDecoder(bytes.NewReader(value))
		decoder.UseNumber()
		if err := decoder.Decode(&decoded); err != nil {
			panic(mistake(err.Error()))
		}
	}
	names := strings.Split(place, "/")
	var at any = d.signed
	for i, name := range names {
		switch o := at.(type) {
		case object:
			if i == len(names)-1 && value == nil {
				delete(o, name)
			} else if i == len(names)-1 {
				o[name] = decoded
			}
			at = o[name]
		case []any:
			n := number(name)
			if n >= len(o) {
				panic(mistake("no place " + place))
			}
			if i == len(names)-1 {
				o[n] = decoded
			}
			at = o[n]
		default:
			panic(mistake("no place " + place))
		}
	}
}

// sign returns the file, signed by the keys that words name, or by those of the role.
func (d *draft) sign(words *words, own []*testrepo.Key) []byte {
	w := d.world
	if by, ok := words.option("by"); ok {
		own = nil
		if by != "none" {
			own = w.keysNamed(strings.Split(by, ","))
		}
	}
	data := testrepo.SignRaw(w.t, d.signed, own...)
	for from, to := range words.pairs("alias") {
		whole := decode(data)
		signatures, _ := whole["signatures"].([]any)
		for _, s := range signatures {
			if s, ok := s.(object); ok && s["keyid"] == w.key(from).ID {
				signatures = append(signatures, object{"keyid": w.key(to).ID, "sig": s["sig"]})
			}
		}
		whole["signatures"] = signatures
		data = encode(whole)
	}
	return data
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// spoil damages a file in a way that has a name.
func spoil(data []byte, how string) []byte {
	if n, ok := strings.CutPrefix(how, "cut"); ok {
		return data[:max(0, len(data)-number(n))]
	}
	switch how {
	case "half":
		return data[:len(data)/2]
	case "empty":
		return nil
	case "blank":
		return []byte(" \n")
	case "null":
		return []byte("null")
	case "string":
		return []byte(`"signed"`)
	case "html":
		return []byte("<html><body>503 Slow Down</body></html>")
	case "bom":
		return slices.Concat([]byte("\ufeff"), data)
	case "nul-before":
		return slices.Concat([]byte{0}, data)
	case "nul-behind":
		return slices.Concat(data, []byte{0})
	case "garbage-behind":
		return slices.Concat(data, []byte("}"))
	case "twice":
		return slices.Concat(data, data)
	case "in-array":
		return slices.Concat([]byte("["), data, []byte("]"))
	case "latin1":
		return bytes.Replace(data, []byte(`"signed"`), []byte("\"\xe9\":1,\"signed\""), 1)
	case "duplicate":
		return bytes.Replace(data, []byte(`"signed":{`), []byte(`"signed":{"version":9,`), 1)
	case "member":
		return bytes.Replace(data, []byte(`{"signatures"`), []byte(`{"x":"x","signatures"`), 1)
	case "case":
		return slices.Concat(data[:len(data)-1], []byte(`,"Signatures":[]}`))
	case "blanks":
		return bytes.Replace(data, []byte(`"signed":{`), append([]byte(`"signed":{`), bytes.Repeat([]byte(" "), 99)...), 1)
	case "gzip":
		return gzipped(data)
	case "utf16":
		return wide(data)
	}
	panic(mistake(fmt.Sprintf("spoil=%s: no such way", how)))
}
