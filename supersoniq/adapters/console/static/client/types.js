/** What travels, as the server's docs/http.md and docs/websocket.md have it. Durations are seconds, instants ms since the Unix epoch. */
export {};
