package pattern

import "sort"

// leap returns the place behind i of the next frame in list that may be consistent with the chosen frame y, given that the frame at
// i is not: at, which is it or is around it, and y lie in two elements of one array. With it, pairing the leaves of a long array
// takes n·log n steps instead of n².
//
// Frames are numbered in the event's order, so what lies in one frame, and what lies in one array, has neighbouring numbers.
func (f *framed) leap(list []int32, i int, at, y int32, frames []frame) int {
	if f.unsorted {
		return i + 1
	}
	for frames[y].depth > frames[at].depth {
		y = frames[y].parent
	}
	rest := list[i+1:]
	if y > at { // the element that holds y is still to come
		return i + 1 + sort.Search(len(rest), func(k int) bool { return rest[k] >= y })
	}
	array, depth := frames[at].array, frames[at].depth
	return i + 1 + sort.Search(len(rest), func(k int) bool {
		x := rest[k]
		for frames[x].depth > depth {
			x = frames[x].parent
		}
		return frames[x].depth < depth || frames[x].array != array
	})
}
