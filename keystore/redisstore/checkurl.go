package redisstore

// CheckURL says what is wrong with a URL, as [Open] would, and connects to nothing.
func CheckURL(text string) error {
	_, err := parse(text)
	return err
}
