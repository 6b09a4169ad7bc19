package pattern

// leap returns the index behind i of the next frame in list that may be consistent with the chosen frame y, given that the frame
// at i is not, because at is around it (or is it) and y lies in another element of the same array.
func leap(list []int32, i int, at, y int32, frames []frame) int { return i + 1 }
