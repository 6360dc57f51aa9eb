package jsonform_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/jsonform"
	"github.com/tufonline/tufonline/tasks"
)

// noon is not in UTC, so that the tests show which forms turn it into UTC.
var noon = time.Date(2026, 2, 5, 14, 31, 57, 992386000, time.FixedZone("", 2*60*60))

// task returns a task in its second attempt.
func task(state tasks.State, result tasks.Result) tasks.Task {
	return tasks.Task{
		ID: "7c9e6679", App: "acme/desktop", Roles: []string{"snapshot"}, State: state, Created: noon, Updated: noon,
		Attempt: 2, MaxAttempts: 20, Result: result,
	}
}

// published is a result in which every field is set.
func published() tasks.Result {
	return tasks.Result{
		Error: "store is down", Code: "store_unavailable", Roles: []string{"snapshot", "timestamp"},
		Versions: map[string]int64{"timestamp": 7, "snapshot": 1 << 60}, Accepted: map[string]int64{"targets": 1 << 60},
		Warnings: []string{"root <expires>"},
	}
}

func TestEachFormHasTheseBytes(t *testing.T) {
	gone := int64(-60)
	const outcome = `"status":false,"task":"force_online_metadata_update",` +
		`"last_update":"2026-02-05T12:31:57.992386+00:00","error":"store is down",` +
		`"error_code":"store_unavailable","details":{"updated_roles":["snapshot","timestamp"],"versions":{"snapshot":1152921504606846976,"timestamp":7},` +
		`"accepted_versions":{"targets":1152921504606846976},"warnings":["root \u003cexpires\u003e"],"attempt":2}}`
	for _, test := range []struct {
		name string
		form any
		want string
	}{
		{"notice", jsonform.Notice{Message: "Ready."}, `{"message":"Ready."}`},
		{"refusal", jsonform.Refusal{Message: "Task not accepted.", Error: "no valid token"},
			`{"message":"Task not accepted.","error":"no valid token"}`},
		{"refusal of a bad request", jsonform.Refusal{Error: "malformed query"}, `{"error":"malformed query"}`},
		{"acceptance",
			jsonform.Answer[jsonform.Acceptance]{Data: jsonform.AcceptanceOf(task(tasks.StatePending, tasks.Result{})),
				Message: "Accepted."},
			`{"data":{"task_id":"7c9e6679","last_update":"2026-02-05T12:31:57.992386+00:00"},"message":"Accepted."}`},

		{"state of a pending task", jsonform.TaskStateOf(task(tasks.StatePending, tasks.Result{})),
			`{"task_id":"7c9e6679","state":"PENDING"}`},
		{"state of a pending task with a failed attempt", jsonform.TaskStateOf(task(tasks.StatePending, published())),
			`{"task_id":"7c9e6679","state":"PENDING","result":{` +
				`"message":"Online metadata update failed and will be tried again.",` + outcome + `}`},
		{"record of a started task", jsonform.RecordOf(task(tasks.StateStarted, tasks.Result{})), `{"state":"STARTED"}`},
		{"record of a started task with a failed attempt", jsonform.RecordOf(task(tasks.StateStarted, published())),
			`{"state":"STARTED","result":{"message":"Online metadata update failed and is tried again.",` + outcome + `}`},
		{"record of a failure", jsonform.RecordOf(task(tasks.StateFailure, published())),
			`{"state":"FAILURE","result":{"message":"Online metadata update failed.",` + outcome + `}`},
		{"record of a success that published nothing", jsonform.RecordOf(task(tasks.StateSuccess, tasks.Result{})),
			`{"state":"SUCCESS","result":{"message":"Online metadata updated.","status":true,` +
				`"task":"force_online_metadata_update","last_update":"2026-02-05T12:31:57.992386+00:00",` +
				`"details":{"updated_roles":[],"versions":{},"attempt":2}}}`},

		{"job", jsonform.Job{ID: "7c9e6679", App: "acme/desktop", Roles: []string{"targets"}},
			`{"id":"7c9e6679","app":"acme/desktop","roles":["targets"]}`},
		{"attempt", jsonform.Attempt{Number: 2, Result: jsonform.Result(published())},
			`{"attempt":2,"result":{"error":"store is down","code":"store_unavailable","roles":["snapshot","timestamp"],` +
				`"versions":{"snapshot":1152921504606846976,"timestamp":7},"accepted":{"targets":1152921504606846976},` +
				`"warnings":["root \u003cexpires\u003e"]}}`},
		{"attempt without a result", jsonform.Attempt{Number: 1}, `{"attempt":1,"result":{}}`},

		{"mark of what was signed here", jsonform.Mark{Version: 1, SHA256: "00", Keys: []string{"aa"}, Validity: 60},
			`{"version":1,"sha256":"00","keys":["aa"],"validity":60}`},
		{"marks", jsonform.Marks{
			Format: 1, App: "acme/desktop", Root: &jsonform.Mark{Version: 2, SHA256: "00ff", Keys: []string{"aa"}},
			Roles: map[string][]jsonform.Mark{
				"timestamp": {{Version: 7, SHA256: "01", Keys: []string{"aa", "bb"}}},
				"snapshot":  {{Version: 6, SHA256: "02", Keys: []string{"aa"}}, {Version: 5, SHA256: "03", Keys: []string{"bb"}}},
			},
		}, `{"format":1,"app":"acme/desktop","root":{"version":2,"sha256":"00ff","keys":["aa"]},"roles":{` +
			`"snapshot":[{"version":6,"sha256":"02","keys":["aa"]},{"version":5,"sha256":"03","keys":["bb"]}],` +
			`"timestamp":[{"version":7,"sha256":"01","keys":["aa","bb"]}]}}`},
		{"marks of nothing", jsonform.Marks{Format: 1, App: "acme/desktop"}, `{"format":1,"app":"acme/desktop"}`},

		{"forgotten", jsonform.Forgotten{App: "acme/desktop", Versions: map[string]int64{"timestamp": 7, "root": 2}},
			`{"app":"acme/desktop","versions":{"root":2,"timestamp":7}}`},

		{"readiness", jsonform.Readiness{Message: "Ready.", FailingApps: 1}, `{"message":"Ready.","failing_apps":1}`},
		{"readiness without a failure", jsonform.Readiness{Message: "Ready."}, `{"message":"Ready."}`},

		{"status", jsonform.Status{
			App: "acme/desktop", Warnings: []string{"root expires"}, Roles: []jsonform.RoleStatus{
				{Role: "root", Version: 1, Expires: noon, ExpiresIn: &gone, Due: noon, Verified: true, Online: true,
					Problem: "expired"},
				{Role: "snapshot"},
			}, Troubles: []jsonform.Trouble{
				{Role: "root", Code: "root_expired", Who: "holders", Text: "sign another", Since: noon},
				{Code: "no_key", Who: "operator", Text: "install it", Keys: []string{"ab"}},
			}, Uploads: []jsonform.Upload{{Role: "targets", Version: 2}, {Role: "team", Version: 3, Waits: "it has expired"}},
		}, `{"app":"acme/desktop","healthy":false,"roles":[{"role":"root","version":1,` +
			`"expires":"2026-02-05T14:31:57.992386+02:00","expires_in":-60,"due":"2026-02-05T14:31:57.992386+02:00",` +
			`"verified":true,"online":true,"problem":"expired"},` +
			`{"role":"snapshot","version":0,"verified":false,"online":false}],` +
			`"troubles":[{"role":"root","code":"root_expired","who":"holders","text":"sign another",` +
			`"since":"2026-02-05T14:31:57.992386+02:00"},` +
			`{"code":"no_key","who":"operator","text":"install it","keys":["ab"]}],` +
			`"uploads":[{"role":"targets","version":2},{"role":"team","version":3,"waits":"it has expired"}],` +
			`"warnings":["root expires"]}`},
		{"status of a healthy app", jsonform.Status{App: "acme/desktop", Healthy: true, Roles: []jsonform.RoleStatus{}},
			`{"app":"acme/desktop","healthy":true,"roles":[]}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := json.Marshal(test.form)
			require.NoError(t, err)
			assert.Equal(t, test.want, string(got))
		})
	}
}

// River's rows are read back, perhaps by a later release.
func TestRowsAreReadAsTheyWereWritten(t *testing.T) {
	var job jsonform.Job
	require.NoError(t, json.Unmarshal([]byte(`{"id":"7c9e6679","app":"acme/desktop","roles":["targets"]}`), &job))
	assert.Equal(t, jsonform.Job{ID: "7c9e6679", App: "acme/desktop", Roles: []string{"targets"}}, job)

	var attempt jsonform.Attempt
	require.NoError(t, json.Unmarshal([]byte(`{"attempt":2,"result":{"error":"store is down",`+
		`"code":"store_unavailable","roles":["snapshot","timestamp"],`+
		`"versions":{"snapshot":1152921504606846976,"timestamp":7},"accepted":{"targets":1152921504606846976},`+
		`"warnings":["root <expires>"]}}`), &attempt))
	assert.Equal(t, 2, attempt.Number)
	assert.Equal(t, published(), tasks.Result(attempt.Result))
}

// A setting or a mark that is misread protects nothing.
func TestFormsAreReadStrictly(t *testing.T) {
	for name, c := range map[string]struct{ data, says string }{
		"as written":       {`{"versions":{"a":1,"A":2},"roles":[]} ` + "\n", ""},
		"nothing":          {" ", "empty"},
		"cut off":          {`{"roles":[]`, "unexpected"},
		"two values":       {`{}{}`, "follows"},
		"an unknown field": {`{"rolls":[]}`, `"rolls"`},
		"another type":     {`{"roles":"x"}`, "roles"},
		"a name twice":     {`{"versions":{"a":1,"b":2,"a":3}}`, `"a" is there twice`},
		"a field twice":    {`{"error":"x","error":"y"}`, `"error" is there twice`},
	} {
		t.Run(name, func(t *testing.T) {
			err := jsonform.Decode([]byte(c.data), &jsonform.Result{})
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestOnlyThisPackageHasJSONTags(t *testing.T) {
	const module = "../.."
	require.NoError(t, filepath.WalkDir(module, func(path string, entry fs.DirEntry, err error) error {
		switch relative := strings.TrimPrefix(path, module+"/"); {
		case err != nil:
			return err
		case relative == "internal/jsonform", relative == "internal/simulation", relative == "integration",
			strings.HasPrefix(relative, ".cache"):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		if strings.Contains(string(source), `json:"`) {
			t.Errorf("%s has a JSON tag", path)
		}
		return err
	}))
}
