from tests.experiments.conftest import simulate as simulate
