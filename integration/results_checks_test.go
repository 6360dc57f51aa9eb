package integration_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

// Each kind of false result is noticed.
func TestFalseResultsAreNoticed(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	all := &releasesOnS3{fleet: &fleet{repos: []*testrepo.Repo{repo}}, timestamps: map[string]map[int64][]byte{}}
	all.add("/tuf/prefix/"+repo.App+"/timestamp.json", repo.Read(t, repo.File(metadata.TIMESTAMP, 0)))
	require.Empty(t, all.wrong)
	const succeeded = `{"state":"SUCCESS","result":{"status":true,` +
		`"details":{"updated_roles":["timestamp","snapshot"],"versions":{"snapshot":1,"timestamp":1}}}}`
	const failed = `{"state":"FAILURE","result":{"error":"text","error_code":"lost"}}`
	for _, tc := range []struct{ said, old, replaced, wrong string }{
		{succeeded, ``, ``, ``},
		{succeeded, `"status":true`, `"status":false`, "its status does not say so"},
		{succeeded, `"status":true`, `"status":true,"error":"of an older attempt"`, "succeeded with an error"},
		{succeeded, `"status":true`, `"status":true,"error_code":"lost"`, "succeeded with an error"},
		{succeeded, `"versions":{"snapshot":1,"timestamp":1}`, `"versions":{}`, "without versions"},
		{succeeded, `"snapshot"]`, `"snapshot","targets"]`, "the updated roles are not those with versions"},
		{succeeded, `"timestamp":1`, `"timestamp":2`, "timestamp version 2 was never published"},
		{succeeded, `"snapshot":1`, `"snapshot":2`, "published with snapshot version 1, not 2"},
		{succeeded, `"details":{`, `"details":{"warnings":["one"],`, "warnings"},
		{succeeded, `SUCCESS`, `STARTED`, "it has not ended"},
		{failed, ``, ``, "it has not succeeded"},
		{failed, `"error":"text",`, ``, "failed without an error"},
		{failed, `"error_code":"lost"`, `"error_code":""`, "failed without a code"},
	} {
		var said taskState
		text := strings.Replace(tc.said, tc.old, tc.replaced, 1)
		require.NoError(t, json.Unmarshal([]byte(text), &said), text)
		wrong := strings.Join(append(wrongIn(said), all.wrongIn(repo.App, said.Result.Details.Versions)...), "; ")
		if tc.wrong == "" {
			assert.Empty(t, wrong)
		} else {
			assert.Contains(t, wrong, tc.wrong, text)
		}
	}
}
