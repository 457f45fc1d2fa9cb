// Runs before the first paint: a stored choice wins over the system's, which CSS follows by itself.
try {
  const theme = localStorage.getItem("wh-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; then the system decides.
}
