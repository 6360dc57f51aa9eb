package refserver

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/uuid"
)

// requestAttacks returns the attacks of acme's admin, whose token is valid.
func requestAttacks(t *testing.T, foreignTask string) (all []attack) {
	token := signsThat + bearer(t, adminClaims("acme"))
	query := func(name string, status int, query string) {
		all = append(all, attack{"query: " + name, post(query, `{"roles":["timestamp"]}`, token, jsonType), status})
	}
	body := func(name string, status int, body string) {
		all = append(all, attack{"body: " + name, post(ownQuery, body, token, jsonType), status})
	}
	get := func(name string, status int, target string) {
		all = append(all, attack{name, "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + token + "\r\n\r\n", status})
	}

	for _, app := range []string{
		"globex/desktop", "globex%2Fdesktop", "globex%2fdesktop", "%67lobex/desktop", "acmes/desktop", "Acme/desktop",
		"acme%20/desktop",
	} {
		query("another owner's app "+app, 403, "appName="+app)
		get("status of another owner's app "+app, 403, "/tuf/v1/status?appName="+app)
	}
	for _, app := range []string{
		"acme/other", "acme/Desktop", "acme/desktop/x", "acme/desktop.", "acme/desktop%20", "acme/desktop%EF%BC%8F",
		"acme/d%D0%B5sktop", "acme/desktop%E2%80%8B",
		"acme/%EF%BC%8E%EF%BC%8E%2Fglobex%2Fdesktop", "acme/%252e%252e%252fglobex%252fdesktop", "acme/timestamp.json",
		"acme/desktop/targets",
	} {
		query("no such app "+app, 404, "appName="+app)
	}
	for _, app := range []string{
		"", "acme", "acme%252Fdesktop", "/acme/desktop", "acme/desktop/", "acme//desktop", "acme/../globex/desktop",
		"acme%2F..%2Fglobex%2Fdesktop", "acme/%2e%2e/globex/desktop",
		"..", ".", "./acme/desktop", "acme/.", "acme/./desktop", "../acme/desktop", "acme/desktop/..", "acme/.desktop",
		"acme/.filestore", "acme/desktop%00", "acme%00/desktop",
		"acme/desktop%0d%0aX-Evil:%201", "acme/desktop%0a", "acme/desk%C2%85top", "acme%5Cdesktop", "acme/..%5Cglobex",
		"acme/%ff%fe", "acme/%ed%a0%80", "acme/%c0%ae%c0%ae/globex/desktop",
		"%2e%2e%2f%2e%2e%2fetc%2fpasswd", "acme%25%32%66desktop", "acme/" + strings.Repeat("a", 10_000),
		strings.Repeat("acme/", 2_000), "acme" + strings.Repeat("%2F..", 1_000),
	} {
		query("app "+app[:min(len(app), 50)], 400, "appName="+app)
	}
	query("app of 1 MB", 431, "appName=acme/"+strings.Repeat("a", 1<<20))
	for name, q := range map[string]string{
		"missing": "", "in another case": "appname=acme/desktop", "as an array": "appName[]=acme/desktop",
		"twice":                        "appName=acme/desktop&appName=acme/desktop",
		"twice, another owner's last":  "appName=acme/desktop&appName=globex/desktop",
		"twice, another owner's first": "appName=globex/desktop&appName=acme/desktop",
		"twice, one encoded":           "appName=acme/desktop&%61pp%4eame=globex/desktop",
		"twice, one empty":             "appName=acme/desktop&appName=",
		"twice, one bare":              "appName=acme/desktop&appName",
		"a broken escape":              "appName=acme/desktop&x=%zz",
		"a semicolon":                  "appName=acme/desktop;appName=globex/desktop",
		"a thousand times":             strings.Repeat("appName=acme/desktop&", 500),
		"a space in the name":          "appName%20=acme/desktop", "NUL in the name": "appName%00=acme/desktop",
	} {
		query("parameter "+name, 400, q)
	}

	for name, b := range map[string]string{
		"null": "null", "true": "true", "a number": "1", "a string": `"timestamp"`, "an array": `["timestamp"]`,
		"spaces":         "  ",
		"half an object": `{"roles":["timestamp"]`,
		"two objects":    `{}{}`, "a comment": `{}/**/`, "single quotes": `{'roles':[]}`, "NaN": `{"roles":NaN}`,
		"byte order mark":             "\ufeff{}",
		"unknown member":              `{"force":true}`,
		"unknown member beside roles": `{"roles":["timestamp"],"appName":"globex/desktop"}`,
		"member in another case":      `{"ROLES":["timestamp"]}`,
		"members of a prototype":      `{"__proto__":{"roles":["root"]}}`,
		"roles twice":                 `{"roles":["timestamp"],"roles":["snapshot"]}`,
		"roles twice, one escaped":    `{"roles":["timestamp"],"\u0072oles":["root"]}`,
		"roles a string":              `{"roles":"timestamp"}`,
		"roles an object":             `{"roles":{"0":"timestamp"}}`,
		"role null":                   `{"roles":[null]}`, "role a number": `{"roles":[1]}`,
		"role an array":            `{"roles":[["timestamp"]]}`,
		"role root":                `{"roles":["root"]}`,
		"role root beside another": `{"roles":["timestamp","root"]}`,
		"role root escaped":        `{"roles":["timestamp","\u0072oot"]}`,
		"no name of a role":        `{"roles":[""]}`,
		"unknown role":             `{"roles":["nope"]}`, "Root": `{"roles":["Root"]}`,
		"role with a path": `{"roles":["../../globex/desktop/timestamp"]}`, "role with NUL": `{"roles":["timestamp\u0000"]}`,
		"role of look-alikes": `{"roles":["tіmestamp"]}`, "role with a space": `{"roles":["timestamp "]}`,
		"role with a version": `{"roles":["2.snapshot"]}`, "lone surrogate": `{"roles":["\ud800"]}`,
		"not UTF-8": "{\"roles\":[\"\xff\"]}", "UTF-16 with mark": utf16Of(true, `{"roles":["timestamp"]}`),
		"UTF-16":                     utf16Of(false, `{"roles":["timestamp"]}`),
		"arrays 30,000 deep":         strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000),
		"roles 30,000 deep":          `{"roles":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + "}",
		"objects 9,000 deep":         strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_000),
		"20,000 roles that are none": `{"roles":["` + strings.Repeat(`","`, 20_000) + `"]}`,
		"a role of 60 kB":            `{"roles":["` + strings.Repeat("r", 60_000) + `"]}`,
		"a number of 60 kB":          `{"roles":` + strings.Repeat("9", 60_000) + `}`,
		"10,000 unknown roles":       `{"roles":["timestamp"` + strings.Repeat(`,"r"`, 10_000) + `]}`,
		"members without end":        `{` + strings.Repeat(`"roles":[],`, 5_000) + `"roles":[]}`,
	} {
		body(name, 400, b)
	}
	body("arrays 100,000 deep", 413, strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000))
	body("a million roles", 413, `{"roles":["timestamp"`+strings.Repeat(`,"timestamp"`, 1_000_000)+`]}`)
	body("one byte more than 64 KiB", 413, `{}`+strings.Repeat(" ", maxBody-1))
	for _, contentType := range []string{
		"Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "Content-Type: application/jsonp",
		"Content-Type: application/json, text/plain",
		"Content-Type:", "X: y", jsonType + "\r\n" + jsonType,
	} {
		all = append(all, attack{"type: " + contentType, post(ownQuery, `{"roles":["timestamp"]}`, token, contentType), 400})
	}
	all = append(all, attack{"compressed body",
		post(ownQuery, "\x1f\x8b\x08\x00\x00\x00\x00\x00", token, jsonType, "Content-Encoding: gzip"), 400})

	for _, id := range []string{
		foreignTask, strings.ToUpper(foreignTask), uuid.NewString(), uuid.Nil.String(), "urn:uuid:" + foreignTask,
		"%7B" + foreignTask + "%7D", strings.ReplaceAll(foreignTask, "-", ""),
		foreignTask + "%00", "x", "..%2f..%2fglobex", strings.Repeat("a", 10_000), "%ff", "*", "%25", "1%20or%201=1",
	} {
		get("task "+id[:min(len(id), 50)], 404, "/tuf/v1/task?task_id="+id)
	}
	for _, q := range []string{
		"", "task_id=", "task_id", "Task_id=" + foreignTask, "task_id=" + foreignTask + "&task_id=" +
			foreignTask, "task_id=%zz",
	} {
		get("task query "+q[:min(len(q), 50)], 400, "/tuf/v1/task?"+q)
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "QUERY"} {
		for _, override := range []string{"X-HTTP-Method-Override: POST", "X-HTTP-Method: POST", "X-Method-Override: POST"} {
			request := strings.Replace(post(ownQuery+"&_method=POST", "", token, override), "POST", method, 1)
			all = append(all, attack{method + " with " + override, request, 405})
		}
	}
	return all
}

func utf16Of(mark bool, s string) string {
	units := utf16.Encode([]rune(s))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	var out strings.Builder
	for _, u := range units {
		out.WriteByte(byte(u))
		out.WriteByte(byte(u >> 8))
	}
	return out.String()
}
