package pipeline

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// share says who of the owners is to have which seat. It depends on the two sets alone. Nobody gets more than his share,
// rounded up; within that a seat stays where it is as long as its owner is there, most of the time (rendezvous hashing
// with bounded loads).
func share(seats, owners []string) map[string]string {
	out := make(map[string]string, len(seats))
	if len(owners) == 0 {
		return out
	}
	most := (len(seats) + len(owners) - 1) / len(owners)
	load := map[string]int{}
	type claim struct {
		owner  string
		weight uint64
	}
	for _, name := range slices.Sorted(slices.Values(seats)) {
		claims := make([]claim, len(owners))
		for i, o := range owners {
			claims[i] = claim{o, mix(o + "\x00" + name)}
		}
		slices.SortFunc(claims, func(a, b claim) int {
			return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.owner, b.owner))
		})
		for _, c := range claims {
			if load[c.owner] < most {
				load[c.owner]++
				out[name] = c.owner
				break
			}
		}
	}
	return out
}

// mix hashes a text so that texts that differ little give numbers that differ much.
func mix(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}
