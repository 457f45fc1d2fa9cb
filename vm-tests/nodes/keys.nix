# WireGuard keys of the tests' declared hosts: in the open, for no other use. Real hosts make their own.
{
  control = {
    privateKey = "4HzhjfyRgJ1DrdlLYuXZqzgP3v8wVZ7UkqRaT0epuko=";
    publicKey = "aUVG3fw2vRU1Fj8JTHYBEdjaOUWAcpbDvQKCbi1ZuWM=";
  };
  worker = {
    privateKey = "0BPoZnU6cKAISf6eQeBEkwKyXuW1Hia625EN2UnJQlI=";
    publicKey = "C7u+uV/437+t3/RoekSE6n4AcGOJDIkrorJ5+lfgR2c=";
  };
  proxy = {
    privateKey = "GNEEwRUJoPR+xw7eGDzmPEsmFAfU19p2guz8pGWqzUQ=";
    publicKey = "ZuK76WXhnXeaSXv6Y7+iYihv2BVrErxB5NAU0nIIVTI=";
  };
  secondWorker = {
    privateKey = "SG54GJMh5b1OlAAt36i1lI2zsSGIqjJNJLyLmrrJkns=";
    publicKey = "6etOnTe79Fl3e9YJda6mxltTeL4FLPucIE+okQJcsVw=";
  };
  db1 = {
    privateKey = "uFzFpxXzT8IpifDO6nudCdmd3YkgLgeFokSTLt6QPUI=";
    publicKey = "5oaHRzO1gs4RBlrP93K5vGfGlis66yuChIsugf7kr2Q=";
  };
  db2 = {
    privateKey = "EFTjVbu9EFf6JS/FZufMPVrNy+6wwnqY+ZkfM0TAk2A=";
    publicKey = "oftHv2qMvbSUx0fibsHVofGNrNmyRMVs/wMWrysaeAw=";
  };
  db3 = {
    privateKey = "qHipHY8HiK6D+LkSr778KzcFZyUHsAWrEmxoUkD6lF8=";
    publicKey = "eQlmHzNsP9UlIW15YkKkMNnMygmzMktzumdDpzM/l3g=";
  };
}
