import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from colours import dominant


class Colours(unittest.TestCase):
    def test_the_most_frequent_comes_first_with_its_part(self):
        data = bytes([255, 0, 0] * 3 + [0, 0, 255])
        self.assertEqual(dominant(data, 2, 2, 128, 2), [
            {"colour": "#ff0000", "part": 0.75},
            {"colour": "#0000ff", "part": 0.25},
        ])

    def test_what_is_nearly_alike_counts_as_one(self):
        self.assertEqual(dominant(bytes([32, 32, 32, 34, 34, 34]), 2, 1, 128, 5), [{"colour": "#212121", "part": 1.0}])


if __name__ == "__main__":
    unittest.main()
