document.querySelector("main").textContent = `Hello from Vite at ${location.pathname}`;
