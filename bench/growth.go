package main

import "context"

// growth is what does and what does not grow with the number of keys.
type growth struct{}

func (b *bench) measureGrowth(ctx context.Context) error { return ctx.Err() }

func (g growth) goals() []goal { return nil }

func (g growth) report() string { return "" }
