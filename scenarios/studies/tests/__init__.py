"""python3 -m unittest discover -s scenarios -t scenarios"""
