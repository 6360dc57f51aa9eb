package refserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

const (
	online     = "/tuf/v1/metadata/online?appName=acme/desktop"
	taskPath   = "/tuf/v1/task?task_id=" + testTask
	statusPath = "/tuf/v1/status?appName=acme/desktop"
)

func TestAcceptedUpdateIsAnsweredWithItsTask(t *testing.T) {
	for _, tc := range []struct {
		name, query, contentType, body string
		want                           forceCall
	}{
		{"no body asks for the default", "acme/desktop", "", "", forceCall{"acme/desktop", nil}},
		{"the type of an empty body does not matter", "acme/desktop", "application/x-www-form-urlencoded", "",
			forceCall{"acme/desktop", nil}},
		{"an empty object", "acme/desktop", "application/json", `{}`, forceCall{"acme/desktop", nil}},
		{"an empty list", "acme/desktop", "application/json", `{"roles":[]}`, forceCall{"acme/desktop", nil}},
		{"null for the list", "acme/desktop", "application/json", `{"roles":null}`, forceCall{"acme/desktop", nil}},
		{
			"roles in the order given, a content type with parameters", "acme/desktop", "Application/JSON; charset=utf-8",
			"{ \"roles\" :\n[\"targets\", \"snap\\u0073hot\"] }\n", forceCall{"acme/desktop", []string{"targets", "snapshot"}},
		},
		{"the app's name is decoded", "acme%2Fdesktop%2Fstable%20one", "", "", forceCall{"acme/desktop/stable one", nil}},
		{"other parameters do not matter", "acme/desktop&verbose=1", "", "", forceCall{"acme/desktop", nil}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			updater := new(fakeUpdater)
			url, log := startHTTP(t, Config{Updater: updater})
			headers := []string{"Authorization", bearer(t, adminClaims("acme"))}
			if tc.contentType != "" {
				headers = append(headers, "Content-Type", tc.contentType)
			}
			got := send(t, http.MethodPost, url+"/tuf/v1/metadata/online?appName="+tc.query, text(tc.body), headers...)
			assert.Equal(t, http.StatusOK, got.status)
			assert.Equal(t, `{"data":{"task_id":"`+testTask+`","last_update":"2026-02-05T12:31:57.992386+00:00"},`+
				`"message":"Force online metadata update accepted."}`, got.body)
			assert.Equal(t, "application/json", got.header.Get("Content-Type"))
			assert.Equal(t, "no-store", got.header.Get("Cache-Control"))
			assert.Equal(t, []forceCall{tc.want}, updater.calls())
			assert.Contains(t, log.String(), "task="+testTask)
		})
	}
}

// bad returns the body of a 400, refused that of the update endpoint's other refusals.
func bad(why string) string { return fmt.Sprintf(`{"error":%q}`, why) }
func refused(why string) string {
	return fmt.Sprintf(`{"message":"Task not accepted.","error":%q}`, why)
}

func TestRefusedRequestNeverReachesTheUpdater(t *testing.T) {
	const endpoint = "/tuf/v1/metadata/online"
	admin := bearer(t, adminClaims("acme"))
	user := bearer(t, adminClaims("acme", "role", "user"))
	other := bearer(t, adminClaims("globex"))
	big := `{"roles":["` + strings.Repeat("x", maxBody) + `"]}`

	for _, tc := range []struct {
		name, target, token, contentType, body string
		status                                 int
		want                                   string
	}{
		{"no token", online, "", "application/json", `{}`, 401, refused("no valid token")},
		{"no token comes before anything else", endpoint, "", "text/plain", big, 401, refused("no valid token")},
		{"not an admin", online, user, "application/json", `{}`, 403, refused("token is not an admin's")},
		{"not an admin comes before syntax", endpoint, user, "text/plain", big, 403, refused("token is not an admin's")},
		{"another owner's app", online, other, "application/json", `{}`, 403, refused("app belongs to another owner")},
		{"syntax comes before another owner's app", online, other, "application/json", `{`, 400,
			bad("request body is not valid JSON")},
		{"an owner is not a prefix", endpoint + "?appName=acmes/desktop", admin, "", "", 403,
			refused("app belongs to another owner")},
		{"an owner's case matters", endpoint + "?appName=Acme/desktop", admin, "", "", 403,
			refused("app belongs to another owner")},

		{"no app", endpoint, admin, "", "", 400, bad("query parameter appName is missing")},
		{"empty app", endpoint + "?appName=", admin, "", "", 400, bad("query parameter appName is missing")},
		{
			"name of the parameter in another case", endpoint + "?appname=acme/desktop", admin, "", "", 400,
			bad("query parameter appName is missing"),
		},
		{
			"two apps", online + "&appName=acme/desktop", admin, "", "", 400,
			bad("query parameter appName is given more than once"),
		},
		{
			"two apps, one in disguise", online + "&%61ppName=globex/desktop", admin, "", "", 400,
			bad("query parameter appName is given more than once"),
		},
		{"query with a broken escape", endpoint + "?appName=acme/desktop&x=%zz", admin, "", "", 400, bad("malformed query")},
		{"query with a semicolon", online + ";appName=globex/x", admin, "", "", 400, bad("malformed query")},
		{
			"owner only", endpoint + "?appName=acme", admin, "", "", 400,
			bad(`invalid app name: "acme" is not <owner>/<app>`),
		},
		{
			"empty segment at the end", endpoint + "?appName=acme/", admin, "", "", 400,
			bad(`invalid app name: invalid key: "acme/" has the segment ""`),
		},
		{
			"parent folder in disguise", endpoint + "?appName=acme%2f%2e%2e%2fglobex", admin, "", "", 400,
			bad(`invalid app name: invalid key: "acme/../globex" has the segment ".."`),
		},
		{
			"segment that begins with a dot", endpoint + "?appName=acme/.git", admin, "", "", 400,
			bad(`invalid app name: "acme/.git" begins a segment with a dot`),
		},
		{
			"backslash", endpoint + "?appName=acme/a%5C..%5Cb", admin, "", "", 400,
			bad(`invalid app name: invalid key: "acme/a\\..\\b" holds a control character or a backslash`),
		},
		{
			"NUL", endpoint + "?appName=acme/a%00", admin, "", "", 400,
			bad(`invalid app name: invalid key: "acme/a\x00" holds a control character or a backslash`),
		},
		{
			"no UTF-8", endpoint + "?appName=acme/%ff", admin, "", "", 400,
			bad(`invalid app name: invalid key: "acme/\xff" is not UTF-8`),
		},

		{"body without a type", online, admin, "", `{}`, 400,
			bad("content type of the request body is not application/json")},
		{"body of another type", online, admin, "text/json", `{}`, 400,
			bad("content type of the request body is not application/json")},
		{
			"malformed type", online, admin, "application/json; charset", `{}`, 400,
			bad("content type of the request body is not application/json"),
		},
		{"white space only", online, admin, "application/json", " \n", 400, bad("request body is not valid JSON")},
		{"malformed JSON", online, admin, "application/json", `{"roles":["snapshot"]`, 400,
			bad("request body is not valid JSON")},
		{"comma at the end", online, admin, "application/json", `{"roles":["snapshot"],}`, 400,
			bad("request body is not valid JSON")},
		{"trailing data", online, admin, "application/json", `{}{}`, 400, bad("request body is not valid JSON")},
		{"no UTF-8 in the body", online, admin, "application/json", "{\"roles\":[\"\xff\"]}", 400,
			bad("request body is not valid JSON")},
		{"null", online, admin, "application/json", `null`, 400, bad("request body is not a JSON object")},
		{"an array", online, admin, "application/json", `["snapshot"]`, 400, bad("request body is not a JSON object")},
		{"a string", online, admin, "application/json", `"snapshot"`, 400, bad("request body is not a JSON object")},
		{"unknown field", online, admin, "application/json", `{"role":["snapshot"]}`, 400, bad(`unknown field "role"`)},
		{"field in another case", online, admin, "application/json", `{"Roles":["snapshot"]}`, 400,
			bad(`unknown field "Roles"`)},
		{"field that folds to roles", online, admin, "application/json", `{"roleſ":["snapshot"]}`, 400,
			bad(`unknown field "roleſ"`)},
		{
			"unknown field beside roles", online, admin, "application/json", `{"roles":["snapshot"],"force":true}`, 400,
			bad(`unknown field "force"`),
		},
		{
			"field twice", online, admin, "application/json", `{"roles":["snapshot"],"r\u006fles":["timestamp"]}`, 400,
			bad("field roles is given more than once"),
		},
		{"roles as a string", online, admin, "application/json", `{"roles":"snapshot"}`, 400,
			bad("field roles is not an array of strings")},
		{"roles as an object", online, admin, "application/json", `{"roles":{}}`, 400,
			bad("field roles is not an array of strings")},
		{
			"a number for a role", online, admin, "application/json", `{"roles":["snapshot",1]}`, 400,
			bad("field roles is not an array of strings"),
		},
		{"null for a role", online, admin, "application/json", `{"roles":[null]}`, 400,
			bad("field roles is not an array of strings")},
		{"body over the limit", online, admin, "application/json", big, 413, refused("request body is larger than 64 KiB")},
		{"body over the limit of another type", online, admin, "text/plain", big, 413,
			refused("request body is larger than 64 KiB")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			updater := new(fakeUpdater)
			url, log := startHTTP(t, Config{Updater: updater})
			var headers []string
			if tc.token != "" {
				headers = append(headers, "Authorization", tc.token)
			}
			if tc.contentType != "" {
				headers = append(headers, "Content-Type", tc.contentType)
			}
			got := send(t, http.MethodPost, url+tc.target, text(tc.body), headers...)
			assert.Equal(t, tc.status, got.status)
			assert.JSONEq(t, tc.want, got.body)
			assert.Equal(t, "application/json", got.header.Get("Content-Type"))
			assert.Equal(t, "no-store", got.header.Get("Cache-Control"))
			assert.Empty(t, updater.calls())

			challenge := ""
			if tc.status == http.StatusUnauthorized {
				challenge = "Bearer"
			}
			assert.Equal(t, challenge, got.header.Get("WWW-Authenticate"))
			require.Contains(t, log.String(), fmt.Sprintf("status=%d", tc.status))
			if tc.token != "" {
				assert.NotContains(t, log.String(), strings.TrimPrefix(tc.token, "Bearer "), "tokens are never logged")
			}
		})
	}
}

func TestTwoContentTypesAreRefused(t *testing.T) {
	url, _ := startHTTP(t, Config{})
	got := send(t, http.MethodPost, url+online, text(`{}`), "Authorization", bearer(t, adminClaims("acme")),
		"Content-Type", "application/json", "Content-Type", "application/json")
	assert.Equal(t, http.StatusBadRequest, got.status)
	assert.JSONEq(t, bad("content type of the request body is not application/json"), got.body)
}

func TestErrorOfTheUpdaterHasItsAnswer(t *testing.T) {
	unverified := &tufupdate.VerificationError{
		App: "acme/desktop", Role: "snapshot", Version: 3, File: "acme/desktop/3.snapshot.json",
		Err: errors.New("no valid signature"),
	}
	wrap := func(err error) error { return fmt.Errorf("app acme/desktop: %w", err) }
	const later = "temporarily not available, try again later"

	for _, tc := range []struct {
		name   string
		err    error
		status int
		want   string
	}{
		{"root", wrap(tufupdate.ErrRootRole), 400, bad("Root role cannot be updated via this endpoint")},
		{"unknown role", fmt.Errorf("%w %q", tufupdate.ErrUnknownRole, "nope"), 400, bad(`unknown role "nope"`)},
		{"invalid app", wrap(tufupdate.ErrInvalidApp), 400, bad("app acme/desktop: invalid app name")},
		{"not bootstrapped", wrap(tufupdate.ErrNotBootstrapped), 404, refused("app acme/desktop: app is not bootstrapped")},
		{
			"targets is offline", tufupdate.ErrTargetsOffline, 404,
			refused("targets is offline: its metadata has to be signed by the holders of its keys and uploaded"),
		},
		{"no key", wrap(tufupdate.ErrNoKey), 404, refused("app acme/desktop: no such key")},
		{"root has expired", wrap(tufupdate.ErrRootExpired), 404, refused("app acme/desktop: root has expired")},
		{
			"a role does not verify", wrap(unverified), 500,
			refused("app acme/desktop: role snapshot version 3 (acme/desktop/3.snapshot.json) does not verify: no valid signature"),
		},
		{"a file is too large", wrap(storage.ErrTooLarge), 500, refused("file is too large")},
		{"queue is full", wrap(tasks.ErrFull), 503, refused("too many tasks are waiting")},
		{"stopping", wrap(tufupdate.ErrStopped), 503, refused("updater is stopping")},
		{"lost all races", wrap(tufupdate.ErrConflict), 503, refused("other writers were faster every time")},
		{"failing store", errors.New("dial tcp 10.1.2.3:443: hush"), 503, refused(later)},
		{"time limit", wrap(context.DeadlineExceeded), 503, refused(later)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			updater := &fakeUpdater{force: func(context.Context) (tasks.Task, error) { return tasks.Task{}, tc.err }}
			url, log := startHTTP(t, Config{Updater: updater})
			got := send(t, http.MethodPost, url+online, nil, "Authorization", bearer(t, adminClaims("acme")))
			assert.Equal(t, tc.status, got.status)
			assert.JSONEq(t, tc.want, got.body)
			assert.Contains(t, strings.ReplaceAll(log.String(), `\"`, `"`), tc.err.Error(), "the log has the cause")
			retry := ""
			if tc.status == http.StatusServiceUnavailable {
				retry = "5"
			}
			assert.Equal(t, retry, got.header.Get("Retry-After"))
		})
	}
}

func TestPanicIsAnInternalError(t *testing.T) {
	updater := &fakeUpdater{force: func(context.Context) (tasks.Task, error) { panic("hush") }}
	url, log := startHTTP(t, Config{Updater: updater})
	got := send(t, http.MethodPost, url+online, nil, "Authorization", bearer(t, adminClaims("acme")))
	assert.Equal(t, http.StatusInternalServerError, got.status)
	assert.JSONEq(t, refused("internal error"), got.body)
	assert.Contains(t, log.String(), "hush")
	assert.Equal(t, http.StatusOK, send(t, http.MethodGet, url+"/healthz", nil).status, "the server goes on")
}

func TestOtherMethodsAndPaths(t *testing.T) {
	for _, tc := range []struct {
		method, target string
		status         int
		allow, want    string
	}{
		{"GET", online, 405, "POST", refused("method not allowed")},
		{"HEAD", online, 405, "POST", ""},
		{"DELETE", taskPath, 405, "GET, HEAD", `{"message":"Task state not available.","error":"method not allowed"}`},
		{"POST", statusPath, 405, "GET, HEAD", `{"message":"Repository status not available.","error":"method not allowed"}`},
		{"GET", "/", 404, "", `{"message":"Not found.","error":"no such path"}`},
		{"POST", "/tuf/v1/metadata/online/?appName=acme/desktop", 404, "", `{"message":"Not found.","error":"no such path"}`},
		{"POST", "/tuf/v1//metadata/online?appName=acme/desktop", 404, "", `{"message":"Not found.","error":"no such path"}`},
		{"GET", "/x/../healthz", 404, "", `{"message":"Not found.","error":"no such path"}`},
		{"GET", "/tuf_metadata/acme/desktop/timestamp.json", 404, "", `{"message":"Not found.","error":"no such path"}`},
	} {
		t.Run(tc.method+" "+tc.target, func(t *testing.T) {
			url, _ := startHTTP(t, Config{})
			got := send(t, tc.method, url+tc.target, nil, "Authorization", bearer(t, adminClaims("acme")))
			assert.Equal(t, tc.status, got.status)
			assert.Equal(t, tc.allow, got.header.Get("Allow"))
			assert.Equal(t, tc.want, got.body)
		})
	}
}

func TestTaskState(t *testing.T) {
	created := time.Date(2026, 2, 5, 12, 0, 0, 0, time.UTC)
	task := func(state tasks.State, result tasks.Result) tasks.Task {
		return tasks.Task{
			ID: testTask, App: "acme/desktop", Roles: []string{"snapshot", "timestamp"}, State: state,
			Created: created, Updated: created.Add(1500 * time.Millisecond), Result: result,
		}
	}
	for _, tc := range []struct {
		name string
		task tasks.Task
		want string
	}{
		{"pending: no result yet", task(tasks.StatePending, tasks.Result{}),
			`{"task_id":"` + testTask + `","state":"PENDING"}`},
		{"started: no result yet", task(tasks.StateStarted, tasks.Result{}),
			`{"task_id":"` + testTask + `","state":"STARTED"}`},
		{
			"pending, after a failure",
			func() tasks.Task {
				task := task(tasks.StatePending, tasks.Result{Error: "reading timestamp.json: the store is down"})
				task.Attempt = 2
				return task
			}(),
			`{"task_id":"` + testTask +
				`","state":"PENDING","result":{"message":"Online metadata update failed and will be tried again.",` +
				`"status":false,"task":"force_online_metadata_update","last_update":"2026-02-05T12:00:01.500000+00:00",` +
				`"error":"reading timestamp.json: the store is down","details":{"updated_roles":[],"versions":{},"attempt":2}}}`,
		},
		{
			"success",
			task(tasks.StateSuccess, tasks.Result{
				Roles: []string{"snapshot", "timestamp"}, Versions: map[string]int64{"snapshot": 2, "timestamp": 3},
			}),
			`{"task_id":"` + testTask + `","state":"SUCCESS","result":{"message":"Online metadata updated.","status":true,` +
				`"task":"force_online_metadata_update","last_update":"2026-02-05T12:00:01.500000+00:00",` +
				`"details":{"updated_roles":["snapshot","timestamp"],"versions":{"snapshot":2,"timestamp":3}}}}`,
		},
		{
			"success with warnings",
			task(tasks.StateSuccess, tasks.Result{
				Roles: []string{"timestamp"}, Versions: map[string]int64{"timestamp": 3},
				Warnings: []string{"targets expires soon"},
			}),
			`{"task_id":"` + testTask + `","state":"SUCCESS","result":{"message":"Online metadata updated.","status":true,` +
				`"task":"force_online_metadata_update","last_update":"2026-02-05T12:00:01.500000+00:00",` +
				`"details":{"updated_roles":["timestamp"],"versions":{"timestamp":3},"warnings":["targets expires soon"]}}}`,
		},
		{
			"failure",
			task(tasks.StateFailure, tasks.Result{Error: "role snapshot: no such key", Code: tufupdate.CodeNoKey}),
			`{"task_id":"` + testTask +
				`","state":"FAILURE","result":{"message":"Online metadata update failed.","status":false,` +
				`"task":"force_online_metadata_update","last_update":"2026-02-05T12:00:01.500000+00:00",` +
				`"error":"role snapshot: no such key","error_code":"no_key","details":{"updated_roles":[],"versions":{}}}}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			updater := &fakeUpdater{task: func(id string) (tasks.Task, error) {
				assert.Equal(t, testTask, id)
				return tc.task, nil
			}}
			url, _ := startHTTP(t, Config{Updater: updater})
			token := bearer(t, adminClaims("acme"))
			got := send(t, http.MethodGet, url+"/tuf/v1/task?task_id="+strings.ToUpper(testTask), nil, "Authorization", token)
			assert.Equal(t, http.StatusOK, got.status)
			assert.Equal(t, `{"data":`+tc.want+`,"message":"Task state."}`, got.body)
		})
	}
}

func TestTaskStateIsRefused(t *testing.T) {
	why := func(why string) string { return fmt.Sprintf(`{"message":"Task state not available.","error":%q}`, why) }
	admin := bearer(t, adminClaims("acme"))
	for _, tc := range []struct {
		name, token, query string
		task               tasks.Task
		err                error
		status             int
		want               string
	}{
		{"no token", "", "task_id=" + testTask, tasks.Task{}, nil, 401, why("no valid token")},
		{"not an admin", bearer(t, adminClaims("acme", "role", nil)), "", tasks.Task{}, nil, 403,
			why("token is not an admin's")},
		{"no ID", admin, "", tasks.Task{}, nil, 400, bad("query parameter task_id is missing")},
		{"empty ID", admin, "task_id=", tasks.Task{}, nil, 400, bad("query parameter task_id is missing")},
		{"two IDs", admin, "task_id=1&task_id=2", tasks.Task{}, nil, 400,
			bad("query parameter task_id is given more than once")},
		{"not a UUID", admin, "task_id=..%2F..%2Fx", tasks.Task{}, nil, 404, why("no such task")},
		{"another notation of a UUID", admin, "task_id=urn:uuid:" + testTask, tasks.Task{}, nil, 404, why("no such task")},
		{
			"unknown", admin, "task_id=" + testTask, tasks.Task{}, fmt.Errorf("looking: %w", tasks.ErrNotFound), 404,
			why("no such task"),
		},
		{
			"another owner's looks as if it were unknown", admin, "task_id=" + testTask,
			tasks.Task{ID: testTask, App: "acmes/desktop", State: tasks.StateStarted}, nil, 404, why("no such task"),
		},
		{
			"failing store", admin, "task_id=" + testTask, tasks.Task{}, errors.New("hush"), 503,
			why("temporarily not available, try again later"),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, _ := startHTTP(t, Config{Updater: &fakeUpdater{task: func(string) (tasks.Task, error) {
				return tc.task,
					tc.err
			}}})
			var headers []string
			if tc.token != "" {
				headers = []string{"Authorization", tc.token}
			}
			got := send(t, http.MethodGet, url+"/tuf/v1/task?"+tc.query, nil, headers...)
			assert.Equal(t, tc.status, got.status)
			assert.Equal(t, tc.want, got.body)
		})
	}
}

func TestStatus(t *testing.T) {
	hour, gone := int64(3600), int64(-60)
	now := time.Date(2026, 2, 5, 12, 0, 0, 0, time.UTC)
	url, _ := startHTTP(t, Config{Updater: &fakeUpdater{status: func() (tufupdate.Status, error) {
		return tufupdate.Status{
			App: "acme/desktop",
			Roles: []tufupdate.RoleStatus{
				{Role: "root", Version: 1, Expires: now.Add(time.Hour), ExpiresIn: &hour, Verified: true},
				{
					Role: "timestamp", Version: 7, Expires: now.Add(-time.Minute), ExpiresIn: &gone, Due: now.Add(-time.Hour),
					Verified: true, Online: true,
				},
				{Role: "snapshot", Problem: "no valid signature"},
			},
			Troubles: []tufupdate.Trouble{{
				Role: "timestamp", Code: tufupdate.CodeNoKey, Who: tufupdate.ActorOperator, Text: "key ab is missing", Since: now,
				Keys: []tufupdate.MissingKey{{KeyID: "ab", Why: "/keys/acme/desktop/ab: no such file"}},
			}},
			Uploads:  []tufupdate.Upload{{Role: "targets", Version: 3, Waits: "version 2 is missing"}},
			Warnings: []string{"root expires"},
		}, nil
	}}})
	got := send(t, http.MethodGet, url+statusPath, nil, "Authorization", bearer(t, adminClaims("acme")))
	assert.Equal(t, http.StatusOK, got.status)
	assert.NotContains(t, got.body, "/keys/", "it shows no path")
	assert.JSONEq(t, `{"data":{"app":"acme/desktop","healthy":false,"roles":[
		{"role":"root","version":1,"expires":"2026-02-05T13:00:00Z","verified":true,"online":false,"expires_in":3600},
		{"role":"timestamp","version":7,"expires":"2026-02-05T11:59:00Z","due":"2026-02-05T11:00:00Z",
		"verified":true,"online":true,"expires_in":-60},
		{"role":"snapshot","version":0,"verified":false,"online":false,"problem":"no valid signature"}
		],"troubles":[{"role":"timestamp","code":"no_key","who":"operator","text":"key ab is missing","keys":["ab"],
		"since":"2026-02-05T12:00:00Z"}],"uploads":[{"role":"targets","version":3,"waits":"version 2 is missing"}],
		"warnings":["root expires"]},"message":"Repository status."}`, got.body)
}

func TestStatusIsRefused(t *testing.T) {
	why := func(why string) string {
		return fmt.Sprintf(`{"message":"Repository status not available.","error":%q}`, why)
	}
	admin := bearer(t, adminClaims("acme"))
	for _, tc := range []struct {
		name, token, query string
		err                error
		status             int
		want               string
	}{
		{"no token", "", "appName=acme/desktop", nil, 401, why("no valid token")},
		{"not an admin", bearer(t, adminClaims("acme", "role", "user")), "", nil, 403, why("token is not an admin's")},
		{"no app", admin, "", nil, 400, bad("query parameter appName is missing")},
		{"another owner's app", admin, "appName=globex/desktop", nil, 403, why("app belongs to another owner")},
		{"not bootstrapped", admin, "appName=acme/desktop", tufupdate.ErrNotBootstrapped, 404,
			why("app is not bootstrapped")},
		{"failing store", admin, "appName=acme/desktop", errors.New("hush"), 503,
			why("temporarily not available, try again later")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, _ := startHTTP(t, Config{Updater: &fakeUpdater{status: func() (tufupdate.Status,
				error) {
				return tufupdate.Status{}, tc.err
			}}})
			var headers []string
			if tc.token != "" {
				headers = []string{"Authorization", tc.token}
			}
			got := send(t, http.MethodGet, url+"/tuf/v1/status?"+tc.query, nil, headers...)
			assert.Equal(t, tc.status, got.status)
			assert.Equal(t, tc.want, got.body)
		})
	}
}
