package pattern

import "slices"

// grams finds, among many wildcards, the few that a string may fit: each is filed under three neighbouring bytes that any string
// it fits must hold.
type grams struct {
	refs   map[uint32][]gramRef
	filter [256]uint64 // bits of the hashes of refs' keys, none missing; stale ones are harmless
}

type gramRef struct {
	glob *glob
	ref  int32
	id   int32 // so that one string is tried once
}

func gram(s string, i int) uint32 { return uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 }

func gramHash(g uint32) uint32 { return g * 0x9e3779b1 >> 18 } // 14 bits: the filter's size

// place returns the gram of the wildcard that is shared with the fewest others.
func (g *grams) place(w *glob) (best uint32, ok bool) {
	least := 0
	for _, part := range w.parts {
		for i := 0; i+3 <= len(part); i++ {
			k := gram(part, i)
			if n := len(g.refs[k]); !ok || n < least {
				best, least, ok = k, n, true
			}
		}
	}
	return best, ok
}

func (g *grams) add(w *glob, ref int32, x *index) bool {
	k, ok := g.place(w)
	if !ok {
		return false
	}
	g.refs[k] = append(g.refs[k], gramRef{w, ref, x.globs.take()})
	h := gramHash(k)
	g.filter[h/64] |= 1 << (h % 64)
	return true
}

func (g *grams) remove(w *glob, ref int32, x *index) bool {
	for _, part := range w.parts {
		for i := 0; i+3 <= len(part); i++ {
			k := gram(part, i)
			list := g.refs[k]
			at := slices.IndexFunc(list, func(r gramRef) bool { return r.glob == w && r.ref == ref })
			if at < 0 {
				continue
			}
			x.globs.drop(list[at].id)
			if list = slices.Delete(list, at, at+1); len(list) > 0 {
				g.refs[k] = list
			} else {
				delete(g.refs, k)
			}
			return true
		}
	}
	return false
}

func (g *grams) find(s []byte, to *gatherer) {
	if len(s) < 3 {
		return
	}
	k := uint32(s[0])<<8 | uint32(s[1])<<16
	for _, c := range s[2:] {
		k = k>>8 | uint32(c)<<16
		if h := gramHash(k); g.filter[h/64]>>(h%64)&1 == 0 {
			continue
		}
		for _, r := range g.refs[k] {
			if to.globTried(r.id) {
				continue
			}
			if r.glob.match(s) {
				to.ref(r.ref)
			}
		}
	}
}
