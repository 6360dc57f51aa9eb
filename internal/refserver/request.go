package refserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/tufonline/tufonline/tufupdate"
)

// maxBody is the largest request body in bytes.
const maxBody = 64 << 10

// param returns the query parameter name. It has to be given once and must not be empty.
func param(r *http.Request, name string) (string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery) // r.URL.Query would drop what it cannot parse
	if err != nil {
		return "", badRequest("malformed query")
	}
	values := query[name]
	switch {
	case len(values) > 1:
		return "", badRequest("query parameter %s is given more than once", name)
	case len(values) == 0 || values[0] == "":
		return "", badRequest("query parameter %s is missing", name)
	}
	return values[0], nil
}

// appParam returns the app that the query names, and its owner.
func appParam(r *http.Request) (app, owner string, err error) {
	app, err = param(r, "appName")
	if err != nil {
		return "", "", err
	}
	if err := tufupdate.CheckApp(app); err != nil {
		return "", "", badRequest("%v", err)
	}
	owner = ownerOf(app)
	if owner == app {
		return "", "", badRequest("%v: %q is not <owner>/<app>", tufupdate.ErrInvalidApp, app)
	}
	return app, owner, nil
}

// ownerOf returns the first segment of an app's name.
func ownerOf(app string) string {
	owner, _, _ := strings.Cut(app, "/")
	return owner
}

// rolesBody returns the roles in the body. No roles mean the default.
func rolesBody(w *response, r *http.Request) ([]string, error) {
	// MaxBytesReader gets the connection's own writer, which closes the connection over the limit.
	// Otherwise the server would read the rest of the body.
	body, err := io.ReadAll(http.MaxBytesReader(w.ResponseWriter, r.Body, maxBody))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &refusal{http.StatusRequestEntityTooLarge, "request body is larger than 64 KiB", tooLarge}
	}
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "request body could not be read", err}
	}
	if len(body) == 0 {
		return nil, nil
	}
	if !isJSON(r.Header) {
		return nil, badRequest("content type of the request body is not application/json")
	}
	return decodeRoles(body)
}

func isJSON(h http.Header) bool {
	values := h.Values("Content-Type")
	if len(values) != 1 {
		return false
	}
	mediaType, _, err := mime.ParseMediaType(values[0])
	return err == nil && mediaType == "application/json"
}

// decodeRoles reads {"roles": […]} and nothing else. It refuses names in another case, repeated
// names, and null for a string, all of which encoding/json accepts. It returns nil for an empty
// list, for null, and for {}.
func decodeRoles(body []byte) ([]string, error) {
	if !utf8.Valid(body) || !json.Valid(body) {
		return nil, badRequest("request body is not valid JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, badRequest("request body is not a JSON object")
	}
	var roles []*string
	for seen := false; dec.More(); seen = true {
		name, err := dec.Token()
		if err != nil {
			return nil, badRequest("request body is not valid JSON")
		}
		if name != "roles" {
			return nil, badRequest("unknown field %q", name)
		}
		if seen {
			return nil, badRequest("field roles is given more than once")
		}
		if err := dec.Decode(&roles); err != nil {
			return nil, badRequest("field roles is not an array of strings")
		}
	}
	var names []string
	for _, role := range roles {
		if role == nil {
			return nil, badRequest("field roles is not an array of strings")
		}
		names = append(names, *role)
	}
	return names, nil
}
