package history_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tufonline/tufonline/integration/history"
)

// good is a history with nothing wrong.
func good() history.Record {
	return history.Record{
		Observations: []history.Observation{
			{App: "a", Begun: 1, Timestamp: 1, Snapshot: 1, Listed: map[string]int64{"targets": 1, "team": 1}},
			{App: "a", Begun: 3, Timestamp: 2, Snapshot: 2, Listed: map[string]int64{"targets": 2, "team": 1}},
			{App: "a", Begun: 5, Timestamp: 3, Snapshot: 2, Listed: map[string]int64{"targets": 2, "team": 1}},
			{App: "b", Begun: 6, Timestamp: 1, Snapshot: 1, Listed: map[string]int64{"targets": 1}},
		},
		Successes: []history.Success{
			{App: "a", Heard: 2, Asked: []string{"targets"},
				Versions: map[string]int64{"timestamp": 2, "snapshot": 2, "targets": 2}},
			{App: "a", Heard: 4, Versions: map[string]int64{"timestamp": 3}},
		},
		Files: []history.File{
			{Name: "a/1.targets.json", Digest: "x"}, {Name: "a/1.targets.json",
				Digest: "x"}, {Name: "a/timestamp.json version 1", Digest: "y"},
		},
		Snapshots: []history.Snapshot{{App: "a", Version: 2, Listed: map[string]int64{"targets": 2, "team": 1}}},
	}
}

func TestAGoodHistoryIsPassed(t *testing.T) {
	assert.Empty(t, history.Check(good()))
}

func TestBrokenHistoriesAreTold(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(r *history.Record)
		says  string
	}{
		"a timestamp went back": {func(r *history.Record) { r.Observations[2].Timestamp = 1 },
			"timestamp version 1 was seen after 2"},
		"a snapshot went back": {func(r *history.Record) { r.Observations[2].Snapshot = 1 },
			"snapshot version 1 was seen after 2"},
		"one timestamp, two snapshots": {func(r *history.Record) {
			r.Observations[2].Timestamp,
				r.Observations[2].Snapshot = 2, 3
		}, "led to two"},
		"a listed version shrank": {func(r *history.Record) { r.Observations[2].Listed["targets"] = 1 },
			"targets version 1 was listed after 2"},
		"an entry left": {func(r *history.Record) { delete(r.Observations[1].Listed, "team") },
			"team has left snapshot version 2"},
		"a file was missing": {func(r *history.Record) { r.Observations[1].Problem = "404" },
			"a client would not go on: 404"},
		"a file did not verify": {func(r *history.Record) { r.Observations[1].Problem = "bad signature" },
			"would not go on: bad signature"},
		"a file had two contents": {func(r *history.Record) { r.Files[1].Digest = "z" },
			"a/1.targets.json has had two contents"},
		"a timestamp had two": {func(r *history.Record) { r.Files[0].Name = r.Files[2].Name },
			"version 1 has had two contents"},
		"a success was not there": {func(r *history.Record) { r.Successes[1].Versions["timestamp"] = 4 },
			"timestamp version 4 was said to be"},
		"a snapshot was not there": {func(r *history.Record) { r.Snapshots = nil },
			"version 2 was said to be published, and is not there"},
		"a later snapshot was older": {func(r *history.Record) { r.Successes[0].Versions["snapshot"] = 3 },
			"snapshot version 3 was said to be"},
		"another snapshot came with it": {func(r *history.Record) { r.Successes[0].Versions["snapshot"] = 1 },
			"timestamp version 2 did not bring snapshot version 1"},
		"targets were not in it": {func(r *history.Record) { r.Successes[0].Versions["targets"] = 3 },
			"targets version 3 was said to be"},
		"accepted work was undone before anybody looked": {func(r *history.Record) {
			r.Observations[1].Listed["targets"], r.Observations[2].Listed["targets"] = 1, 1
		}, "targets version 2 was said to be published, and 1 was seen later"},
		"a role that was published had gone": {func(r *history.Record) {
			r.Successes[0].Versions["new"], r.Snapshots[0].Listed["new"] = 1, 1
		}, "new version 1 was said to be published, and 0 was seen later"},
		"a snapshot did not verify in the end": {func(r *history.Record) { r.Snapshots[0].Problem = "bad signature" },
			"would not take snapshot version 2: bad signature"},
		"two that disagree": {func(r *history.Record) {
			r.Snapshots = append(r.Snapshots, history.Snapshot{App: "a", Version: 1})
			r.Successes[1].Versions = map[string]int64{"timestamp": 2, "snapshot": 1}
			r.Observations = append(r.Observations[:1], r.Observations[2:]...)
		}, "timestamp version 2 was said to bring snapshot version 2, and 1"},
		"a success of nothing": {func(r *history.Record) { r.Successes[1].Versions = nil }, "done without a timestamp"},
		"a success of less than was asked for": {func(r *history.Record) { r.Successes[1].Asked = []string{"targets"} },
			"targets was asked for, and was not published with timestamp version 3"},
		"a success of some of the bins": {func(r *history.Record) {
			r.Successes[0].Asked = []string{"team"}
			r.Successes[0].Versions["team-0"] = 1
			for _, listed := range []map[string]int64{r.Observations[1].Listed, r.Observations[2].Listed,
				r.Snapshots[0].Listed} {
				listed["team-0"], listed["team-1"] = 1, 1
			}
		}, "team was asked for, and was not published"},
		"nobody looked again": {func(r *history.Record) { r.Successes[1].Heard = 7 },
			"nobody has looked after timestamp version 3"},
		"of an app nobody looked at": {func(r *history.Record) { r.Successes[1].App = "c" }, "app c: nobody has looked"},
	} {
		t.Run(name, func(t *testing.T) {
			r := good()
			test.spoil(&r)
			wrong := history.Check(r)
			if assert.NotEmpty(t, wrong) {
				assert.Contains(t, wrong[0], test.says)
			}
		})
	}
}
