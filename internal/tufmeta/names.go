package tufmeta

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkDelegatedName returns an error unless name can be a delegated role's: it becomes part of
// file names and URLs, so it has to be a path of plain segments without control characters. It must
// not be taken for a top-level role, nor its file for a top-level role's.
func checkDelegatedName(name string) error {
	if isTopLevel(name) {
		return fmt.Errorf("%q is a top-level role", name)
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name,
		func(r rune) bool { return r == '\\' || unicode.IsControl(r) }) {
		return fmt.Errorf("%q holds a control character or a backslash", name)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%q has the segment %q", name, segment)
		}
	}
	others := Collisions(name)
	if i := slices.IndexFunc(others, isTopLevel); i >= 0 {
		return fmt.Errorf("%q collides with the files of %s", name, others[i])
	}
	return nil
}

func isTopLevel(name string) bool {
	return name == Root || name == Timestamp || name == Snapshot || name == Targets
}

// Collisions returns the roles whose files a role of this name would collide with if they exist, in
// one layout or the other:
//
//   - the file 7.team.json is version 7 of team, and the file of a role 7.team without consistent
//     snapshots;
//   - a role team.json/x makes a folder of the file of team, and a role 7.team.json/x of its
//     version 7.
func Collisions(name string) []string {
	var others []string
	for at := 0; ; at++ {
		next := strings.Index(name[at:], Suffix+"/")
		if next < 0 {
			break
		}
		at += next
		folder := name[:at]
		if role, ok := cutVersion(folder); ok {
			others = append(others, role)
		}
		others = append(others, folder)
	}
	if role, ok := cutVersion(name); ok {
		others = append(others, role)
	}
	return others
}

// cutVersion returns what follows a version number and a dot.
func cutVersion(name string) (rest string, ok bool) {
	digits, rest, ok := strings.Cut(name, ".")
	return rest, ok && digits != "" && rest != "" && strings.Trim(digits, "0123456789") == ""
}
