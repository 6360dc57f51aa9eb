package tufupdate_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

// A roll of all three roles from a store without delay, nothing but roots remembered.
func BenchmarkRoll(b *testing.B) {
	for _, n := range []int{10, 1000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			repo := testrepo.New(b, storage.NewMemory(), testrepo.Options{})
			repo.Upload(b, "targets", 2, func(md *metadata.TargetsType) {
				for i := range n {
					info, err := metadata.TargetFile().FromBytes("x", fmt.Append(nil, i), "sha256")
					require.NoError(b, err)
					md.Targets[fmt.Sprintf("path/to/target-%07d", i)] = info
				}
			})
			u := newUpdater(b, repo, repo.Provider(b))
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				_, err := u.Roll(b.Context(), repo.App, nil)
				require.NoError(b, err)
			}
		})
	}
}
