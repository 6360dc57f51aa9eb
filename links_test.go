package tufonline_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The core is the packages that every program links, whichever drivers it picks.
var core = []string{"./tufupdate", "./storage", "./keys", "./tasks"}

// maxLinked bounds how many packages the core links, those of the standard library included.
const maxLinked = 230

// notInCore are prefixes of import paths that only drivers and main packages may link.
var notInCore = []string{
	// Frameworks
	"go.opentelemetry.io/",
	"gocloud.dev",
	"google.golang.org/grpc",

	// Clients of clouds
	"cloud.google.com/",
	"github.com/Azure/",
	"github.com/aws/",
	"github.com/googleapis/gax-go",
	"google.golang.org/api",

	// The signing and object model of other projects
	"github.com/secure-systems-lab/",
	"github.com/sigstore/",
	"github.com/theupdateframework/",

	// Databases
	"github.com/jackc/",
	"github.com/mattn/go-sqlite3",
	"github.com/redis/",
	"github.com/riverqueue/",
	"modernc.org/",
}

func TestTheCoreLinksNoFrameworkCloudOrDatabase(t *testing.T) {
	for _, name := range core {
		for _, dependency := range linked(t, name) {
			for _, prefix := range notInCore {
				assert.False(t, strings.HasPrefix(dependency, prefix), "%s links %s", name, dependency)
			}
		}
	}
}

func TestTheCoreLinksFewPackages(t *testing.T) {
	all := linked(t, core...)
	t.Logf("%d packages", len(all))
	assert.LessOrEqual(t, len(all), maxLinked)
}

// linked returns the import paths of packages and of all that they import, directly or not.
func linked(t *testing.T, packages ...string) []string {
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps"}, packages...)...).Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}
