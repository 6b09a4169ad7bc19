package event

import "unsafe"

// DataAt gives the offset of Data in Raw where Data is a view into Raw, so that a store can keep the bytes around the
// payload and never the payload twice.
func (e *Event) DataAt() (int, bool) {
	if len(e.Data) == 0 || len(e.Raw) < len(e.Data) {
		return 0, false
	}
	raw, data := uintptr(unsafe.Pointer(unsafe.SliceData(e.Raw))), uintptr(unsafe.Pointer(unsafe.SliceData(e.Data)))
	if data < raw || data+uintptr(len(e.Data)) > raw+uintptr(len(e.Raw)) {
		return 0, false
	}
	return int(data - raw), true
}
