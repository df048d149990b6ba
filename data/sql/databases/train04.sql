CREATE TABLE wells (baron TEXT, picks INTEGER, editor TEXT, court TEXT);
INSERT INTO wells VALUES
('Kubel', 849, 'Ranis', 'Yolov'),
('Josak', 670, 'Riker', 'Ripic'),
('Tuvin', 774, 'Ranis', 'Ripic'),
('Lalin', 29, 'Riker', 'Gupov'),
('Yibum', 667, 'Soboff', 'Yusski'),
('Jomel', 678, 'Riker', 'Popski'),
('Jukin', 806, 'Soboff', 'Gupov'),
('Retis', 109, 'Papov', 'Fuler'),
('Logoff', 962, 'Riker', 'Yolov'),
('Ralic', 238, 'Soboff', 'Yusski');

CREATE TABLE desks (court TEXT, roses INTEGER, tenant TEXT);
INSERT INTO desks VALUES
('Gupov', 443, 'Hufer'),
('Yolov', 362, 'Tuvak'),
('Yusski', 62, 'Hufer'),
('Ripic', 372, 'Yenov'),
('Popski', 94, 'Tuvak'),
('Fuler', 887, 'Hufer');

CREATE TABLE shores (fleet TEXT, major TEXT, feet INTEGER, joiner TEXT);
INSERT INTO shores VALUES
('Vagen', 'Lorer', 208, 'Wifak'),
('Rasov', 'Jorak', 290, 'Retum'),
('Webov', 'Boben', 800, 'Bivov'),
('Mivic', 'Boben', 528, 'Bivov'),
('Riker', 'Lonov', 774, 'Goben'),
('Fuper', 'Jorak', 126, 'Hakov'),
('Safon', 'Jorak', 410, 'Zozel'),
('Buben', 'Lonov', 907, 'Retum'),
('Venis', 'Lonov', 475, 'Wifak'),
('Gozen', 'Lonov', 930, 'Hakov');

CREATE TABLE offices (joiner TEXT, fate TEXT, lives INTEGER);
INSERT INTO offices VALUES
('Retum', 'Kofer', 896),
('Bivov', 'Kofer', 758),
('Wifak', 'Jolen', 956),
('Hakov', 'Pavis', 137),
('Goben', 'Kofer', 445),
('Zozel', 'Pavis', 200);

CREATE TABLE brewers (domain TEXT, virtue TEXT, dozens INTEGER, hero TEXT);
INSERT INTO brewers VALUES
('Siger', 'Hefen', 808, 'Kafen'),
('Fonis', 'Tunon', 561, 'Wedoff'),
('Zusak', 'Tunon', 337, 'Kafen'),
('Lagin', 'Tunon', 227, 'Wolin'),
('Gupski', 'Natak', 54, 'Yupic'),
('Dokski', 'Hefen', 290, 'Wolin'),
('Jikoff', 'Tunon', 726, 'Malski'),
('Loloff', 'Hefen', 668, 'Pusski'),
('Mitoff', 'Natak', 196, 'Yupic'),
('Kiric', 'Ponoff', 670, 'Malski');

CREATE TABLE harps (hero TEXT, length INTEGER, status TEXT);
INSERT INTO harps VALUES
('Yupic', 354, 'Bizis'),
('Kafen', 254, 'Taven'),
('Malski', 713, 'Wizic'),
('Wolin', 287, 'Taven'),
('Wedoff', 389, 'Wizic'),
('Pusski', 243, 'Taven');

CREATE TABLE stages (pattern TEXT, wishes INTEGER, trust TEXT, herald TEXT);
INSERT INTO stages VALUES
('Pakoff', 743, 'Baton', 'Gevoff'),
('Kubski', 561, 'Gusoff', 'Duvak'),
('Zorel', 129, 'Baton', 'Yurov'),
('Gazon', 960, 'Baton', 'Yurov'),
('Ganin', 255, 'Teper', 'Juvum'),
('Yiden', 793, 'Teper', 'Gevoff'),
('Woker', 24, 'Lagon', 'Duvak'),
('Jubis', 353, 'Teper', 'Bevum'),
('Hufen', 35, 'Teper', 'Wulel'),
('Hunon', 145, 'Gusoff', 'Juvum');

CREATE TABLE crabs (herald TEXT, icons INTEGER, lawyer TEXT);
INSERT INTO crabs VALUES
('Gevoff', 230, 'Dufin'),
('Yurov', 25, 'Norum'),
('Juvum', 467, 'Madov'),
('Duvak', 531, 'Norum'),
('Bevum', 99, 'Madov'),
('Wulel', 130, 'Madov');

CREATE TABLE folders (father TEXT, kits INTEGER, term TEXT, senator TEXT);
INSERT INTO folders VALUES
('Dorov', 898, 'Wolen', 'Zubel'),
('Pelen', 391, 'Puzum', 'Tazski'),
('Fosis', 929, 'Vefen', 'Pikin'),
('Yezum', 97, 'Wolen', 'Yagski'),
('Lovin', 100, 'Fisin', 'Zubel'),
('Bofin', 992, 'Vefen', 'Hafen'),
('Pumin', 611, 'Puzum', 'Tazski'),
('Furum', 163, 'Vefen', 'Wugov'),
('Dumak', 64, 'Vefen', 'Wugov'),
('Savic', 583, 'Wolen', 'Hafen');

CREATE TABLE jets (senator TEXT, drops INTEGER, insect TEXT);
INSERT INTO jets VALUES
('Zubel', 697, 'Zivis'),
('Hafen', 517, 'Zivis'),
('Tazski', 81, 'Vaner'),
('Wugov', 60, 'Vaner'),
('Yagski', 305, 'Jusak'),
('Pikin', 498, 'Zivis');

CREATE TABLE brokers (marshal TEXT, world TEXT, caps INTEGER, cause TEXT);
INSERT INTO brokers VALUES
('Nupski', 'Kodic', 381, 'Didum'),
('Wolel', 'Semov', 281, 'Falin'),
('Wonon', 'Kodic', 389, 'Yavon'),
('Purer', 'Sumak', 649, 'Lupis'),
('Higel', 'Semov', 836, 'Gedov'),
('Vavak', 'Semov', 279, 'Gedov'),
('Reser', 'Kodic', 59, 'Pafer'),
('Jasin', 'Semov', 129, 'Pafer'),
('Delski', 'Sumak', 744, 'Didum'),
('Sinov', 'Numon', 122, 'Falin');

CREATE TABLE pigs (cause TEXT, swings INTEGER, mark TEXT);
INSERT INTO pigs VALUES
('Falin', 191, 'Peboff'),
('Didum', 909, 'Bozer'),
('Pafer', 208, 'Peboff'),
('Gedov', 291, 'Raton'),
('Yavon', 969, 'Bozer'),
('Lupis', 843, 'Bozer');

CREATE TABLE tanks (fighter TEXT, finish TEXT, memory INTEGER, color TEXT);
INSERT INTO tanks VALUES
('Junen', 'Tubski', 662, 'Nirov'),
('Bupin', 'Satel', 57, 'Fogel'),
('Nuver', 'Satel', 637, 'Yokak'),
('Zemer', 'Tubski', 553, 'Komen'),
('Delen', 'Tubski', 474, 'Yokak'),
('Zoder', 'Sufon', 151, 'Fogel'),
('Rufen', 'Tubski', 132, 'Jamis'),
('Hupov', 'Sufon', 362, 'Gogel'),
('Huvin', 'Jomer', 387, 'Jamis'),
('Bosoff', 'Sufon', 618, 'Nirov');

CREATE TABLE hamlets (color TEXT, field TEXT, doors INTEGER);
INSERT INTO hamlets VALUES
('Nirov', 'Hatski', 926),
('Yokak', 'Sedski', 767),
('Fogel', 'Sedski', 985),
('Jamis', 'Hatski', 445),
('Gogel', 'Himin', 316),
('Komen', 'Sedski', 521);

CREATE TABLE alleys (cape TEXT, player TEXT, cubes INTEGER, theme TEXT);
INSERT INTO alleys VALUES
('Zimen', 'Hanin', 91, 'Zodic'),
('Rafel', 'Hanin', 855, 'Dilen'),
('Hulis', 'Wopic', 856, 'Dilen'),
('Pozon', 'Tudon', 153, 'Miger'),
('Saris', 'Japov', 506, 'Mazen'),
('Parel', 'Wopic', 762, 'Zodic'),
('Pezski', 'Tudon', 372, 'Kuvis'),
('Sagic', 'Wopic', 953, 'Nogis'),
('Wiver', 'Wopic', 319, 'Kuvis'),
('Gogoff', 'Hanin', 996, 'Mazen');

CREATE TABLE peppers (theme TEXT, triples INTEGER, term TEXT);
INSERT INTO peppers VALUES
('Mazen', 187, 'Gubic'),
('Dilen', 939, 'Gubic'),
('Zodic', 510, 'Liler'),
('Kuvis', 823, 'Raron'),
('Miger', 231, 'Liler'),
('Nogis', 182, 'Gubic');

CREATE TABLE deer (domain TEXT, baron TEXT, liters INTEGER, logo TEXT);
INSERT INTO deer VALUES
('Ronov', 'Rizin', 795, 'Wunic'),
('Posoff', 'Jovak', 525, 'Jegen'),
('Gevel', 'Rizin', 41, 'Foven'),
('Bedov', 'Jovak', 384, 'Yaton'),
('Bovon', 'Rizin', 374, 'Jegen'),
('Menon', 'Rizin', 282, 'Foven'),
('Lirum', 'Jovak', 417, 'Vifen'),
('Titel', 'Vivoff', 985, 'Wunic'),
('Potin', 'Fogel', 839, 'Yaton'),
('Wonon', 'Vivoff', 553, 'Darer');

CREATE TABLE members (logo TEXT, proxy TEXT, clips INTEGER);
INSERT INTO members VALUES
('Foven', 'Sosov', 366),
('Wunic', 'Galak', 762),
('Jegen', 'Sosov', 809),
('Yaton', 'Duper', 902),
('Vifen', 'Sosov', 907),
('Darer', 'Duper', 416);

CREATE TABLE mules (desert TEXT, troop TEXT, fights INTEGER, stand TEXT);
INSERT INTO mules VALUES
('Kinov', 'Varel', 295, 'Huzov'),
('Jofoff', 'Biker', 167, 'Feden'),
('Kakov', 'Biker', 720, 'Koson'),
('Nugoff', 'Mizon', 969, 'Basoff'),
('Jukum', 'Varel', 290, 'Basoff'),
('Jenov', 'Varel', 700, 'Hedski'),
('Fipel', 'Mizon', 63, 'Feden'),
('Fofic', 'Varel', 873, 'Hedski'),
('Ruder', 'Vurel', 440, 'Yanoff'),
('Birer', 'Mizon', 675, 'Huzov');

CREATE TABLE woods (stand TEXT, office TEXT, height INTEGER);
INSERT INTO woods VALUES
('Feden', 'Lidak', 837),
('Huzov', 'Mufel', 170),
('Basoff', 'Mufel', 332),
('Hedski', 'Mufel', 566),
('Koson', 'Jidic', 852),
('Yanoff', 'Jidic', 391);

CREATE TABLE gyms (spot TEXT, writer TEXT, nuts INTEGER, belt TEXT);
INSERT INTO gyms VALUES
('Lagum', 'Dagak', 69, 'Zidum'),
('Kozer', 'Kanis', 202, 'Hotis'),
('Sasoff', 'Vokak', 963, 'Midis'),
('Lagic', 'Tetak', 689, 'Zidum'),
('Watov', 'Dagak', 11, 'Jakum'),
('Turoff', 'Vokak', 544, 'Nenski'),
('Fuzic', 'Kanis', 372, 'Midis'),
('Punoff', 'Dagak', 481, 'Hotis'),
('Fodis', 'Vokak', 553, 'Talum'),
('Haden', 'Vokak', 422, 'Jakum');

CREATE TABLE oars (belt TEXT, donor TEXT, curves INTEGER);
INSERT INTO oars VALUES
('Midis', 'Zozel', 419),
('Zidum', 'Pidis', 526),
('Hotis', 'Pidis', 244),
('Jakum', 'Depski', 932),
('Nenski', 'Pidis', 124),
('Talum', 'Depski', 313);

CREATE TABLE bakers (meal TEXT, aide TEXT, credit INTEGER, tint TEXT);
INSERT INTO bakers VALUES
('Mosis', 'Lonon', 265, 'Vogski'),
('Veron', 'Pefoff', 874, 'Wadel'),
('Fivis', 'Fonis', 249, 'Zenin'),
('Kopski', 'Desov', 745, 'Zenin'),
('Bavon', 'Fonis', 857, 'Yubin'),
('Pigum', 'Pefoff', 530, 'Wegin'),
('Sofum', 'Fonis', 915, 'Wegin'),
('Fazov', 'Fonis', 576, 'Yubin'),
('Posov', 'Pefoff', 439, 'Papon'),
('Hesov', 'Desov', 54, 'Vogski');

CREATE TABLE robots (tint TEXT, exits INTEGER, realm TEXT);
INSERT INTO robots VALUES
('Zenin', 311, 'Tagov'),
('Vogski', 711, 'Delen'),
('Wegin', 835, 'Delen'),
('Yubin', 496, 'Delen'),
('Wadel', 287, 'Yakoff'),
('Papon', 785, 'Tagov');

CREATE TABLE blogs (buddy TEXT, council TEXT, size INTEGER, dish TEXT);
INSERT INTO blogs VALUES
('Kitum', 'Wasov', 696, 'Ruvov'),
('Woker', 'Yugon', 235, 'Piris'),
('Vudin', 'Liner', 608, 'Puken'),
('Zesak', 'Yugon', 110, 'Puken'),
('Migov', 'Yugon', 597, 'Bapin'),
('Hadak', 'Lelel', 403, 'Bapin'),
('Fosoff', 'Yugon', 318, 'Havic'),
('Hepon', 'Liner', 777, 'Pamum'),
('Pepum', 'Liner', 676, 'Pamum'),
('Nufer', 'Lelel', 108, 'Ruvov');

CREATE TABLE aprons (dish TEXT, nodes INTEGER, court TEXT);
INSERT INTO aprons VALUES
('Pamum', 945, 'Lirel'),
('Bapin', 795, 'Lirel'),
('Puken', 723, 'Juben'),
('Ruvov', 999, 'Kufen'),
('Havic', 66, 'Lirel'),
('Piris', 986, 'Juben');

CREATE TABLE cameras (harbor TEXT, stems INTEGER, hue TEXT, accent TEXT);
INSERT INTO cameras VALUES
('Razum', 381, 'Yuvum', 'Rovic'),
('Doris', 244, 'Reler', 'Zuzin'),
('Pugin', 20, 'Pepov', 'Yupon'),
('Panov', 565, 'Pepov', 'Haron'),
('Gakin', 382, 'Reler', 'Yupon'),
('Befen', 795, 'Yuvum', 'Zuzin'),
('Jokak', 584, 'Pepov', 'Tozer'),
('Saber', 897, 'Pepov', 'Zofov'),
('Galoff', 967, 'Temoff', 'Zofov'),
('Tevel', 139, 'Yuvum', 'Tozer');

CREATE TABLE donkeys (accent TEXT, shares INTEGER, face TEXT);
INSERT INTO donkeys VALUES
('Tozer', 61, 'Hifum'),
('Yupon', 809, 'Juzov'),
('Zofov', 626, 'Bufen'),
('Zuzin', 373, 'Bufen'),
('Haron', 196, 'Bufen'),
('Rovic', 786, 'Hifum');

CREATE TABLE coaches (curator TEXT, pattern TEXT, jokes INTEGER, logo TEXT);
INSERT INTO coaches VALUES
('Gevum', 'Lazer', 548, 'Razel'),
('Hakoff', 'Redis', 675, 'Razel'),
('Laben', 'Lazer', 110, 'Zonin'),
('Koten', 'Fafel', 387, 'Bakum'),
('Pegen', 'Pevin', 150, 'Bizon'),
('Gozin', 'Pevin', 735, 'Gakon'),
('Memon', 'Redis', 59, 'Bakum'),
('Wozel', 'Redis', 253, 'Bizon'),
('Lusen', 'Redis', 673, 'Zonin'),
('Satov', 'Lazer', 870, 'Jomski');

CREATE TABLE labs (logo TEXT, rival TEXT, hits INTEGER);
INSERT INTO labs VALUES
('Bizon', 'Mapis', 643),
('Zonin', 'Difis', 930),
('Bakum', 'Nulic', 995),
('Razel', 'Nulic', 728),
('Jomski', 'Nulic', 538),
('Gakon', 'Mapis', 914);

CREATE TABLE tools (rubric TEXT, sector TEXT, chairs INTEGER, signer TEXT);
INSERT INTO tools VALUES
('Lanis', 'Jimum', 878, 'Paden'),
('Kizski', 'Jimum', 345, 'Paden'),
('Pugis', 'Yusin', 249, 'Mover'),
('Safoff', 'Migov', 506, 'Tuzel'),
('Nekoff', 'Mamoff', 199, 'Zonen'),
('Tokin', 'Jimum', 620, 'Mover'),
('Wovic', 'Migov', 23, 'Sogen'),
('Zoroff', 'Jimum', 903, 'Sogen'),
('Lovin', 'Mamoff', 136, 'Pelin'),
('Lumic', 'Migov', 422, 'Pelin');

CREATE TABLE lions (signer TEXT, bay TEXT, spins INTEGER);
INSERT INTO lions VALUES
('Pelin', 'Pulin', 145),
('Sogen', 'Yepen', 290),
('Paden', 'Yepen', 823),
('Mover', 'Pulin', 169),
('Tuzel', 'Pulin', 707),
('Zonen', 'Hezum', 226);

CREATE TABLE masks (curator TEXT, bumps INTEGER, picker TEXT, kingdom TEXT);
INSERT INTO masks VALUES
('Rupak', 89, 'Padel', 'Gumoff'),
('Vamic', 836, 'Wepak', 'Zimon'),
('Winak', 774, 'Padel', 'Vizin'),
('Jalic', 243, 'Wepak', 'Vizin'),
('Vutis', 599, 'Remak', 'Gumoff'),
('Yopak', 231, 'Padel', 'Huner'),
('Kilon', 325, 'Yedov', 'Lavak'),
('Tivoff', 985, 'Padel', 'Lavak'),
('Vumon', 502, 'Yedov', 'Zumon'),
('Leden', 128, 'Yedov', 'Huner');

CREATE TABLE ponds (kingdom TEXT, voids INTEGER, coach TEXT);
INSERT INTO ponds VALUES
('Huner', 11, 'Waden'),
('Vizin', 126, 'Ponis'),
('Lavak', 986, 'Waden'),
('Gumoff', 421, 'Fukel'),
('Zimon', 996, 'Ponis'),
('Zumon', 226, 'Ponis');

CREATE TABLE burgers (curator TEXT, moles INTEGER, tint TEXT, fish TEXT);
INSERT INTO burgers VALUES
('Sokov', 533, 'Gedoff', 'Povin'),
('Jizak', 680, 'Jofen', 'Rulum'),
('Fatski', 544, 'Gotel', 'Kalel'),
('Henov', 54, 'Jofen', 'Hotoff'),
('Losoff', 296, 'Gotel', 'Daken'),
('Muken', 538, 'Pofoff', 'Mosski'),
('Lesak', 42, 'Jofen', 'Rulum'),
('Vokon', 464, 'Jofen', 'Daken'),
('Palon', 336, 'Gedoff', 'Hotoff'),
('Viler', 108, 'Gedoff', 'Povin');

CREATE TABLE ruins (fish TEXT, phrase TEXT, leaks INTEGER);
INSERT INTO ruins VALUES
('Hotoff', 'Pufoff', 743),
('Povin', 'Sasum', 105),
('Daken', 'Kozen', 165),
('Rulum', 'Kozen', 308),
('Mosski', 'Kozen', 504),
('Kalel', 'Sasum', 225);

CREATE TABLE shovels (hostel TEXT, folds INTEGER, stamp TEXT, look TEXT);
INSERT INTO shovels VALUES
('Rulov', 658, 'Gefel', 'Repoff'),
('Wagov', 875, 'Risic', 'Repoff'),
('Gefoff', 935, 'Haroff', 'Koven'),
('Wader', 590, 'Risic', 'Hisak'),
('Naver', 556, 'Haroff', 'Hisak'),
('Jipic', 684, 'Liser', 'Dukin'),
('Vavis', 60, 'Gefel', 'Waver'),
('Voton', 257, 'Haroff', 'Koven'),
('Muzon', 675, 'Gefel', 'Horer'),
('Barski', 127, 'Gefel', 'Dukin');

CREATE TABLE veils (look TEXT, island TEXT, steps INTEGER);
INSERT INTO veils VALUES
('Dukin', 'Rusum', 659),
('Koven', 'Rusum', 75),
('Repoff', 'Rusum', 657),
('Hisak', 'Miboff', 260),
('Horer', 'Tipoff', 132),
('Waver', 'Tipoff', 112);

CREATE TABLE engines (heir TEXT, hops INTEGER, queen TEXT, brother TEXT);
INSERT INTO engines VALUES
('Gedoff', 749, 'Hanel', 'Finon'),
('Bimum', 852, 'Fepon', 'Gofel'),
('Gifak', 851, 'Fepon', 'Labon'),
('Yosski', 477, 'Hanel', 'Sutoff'),
('Seken', 186, 'Hanel', 'Finon'),
('Meris', 269, 'Topak', 'Henov'),
('Gusen', 349, 'Fepon', 'Sutoff'),
('Mesen', 244, 'Topak', 'Gofel'),
('Yupov', 607, 'Hanel', 'Labon'),
('Setin', 689, 'Nufoff', 'Vuzen');

CREATE TABLE lambs (brother TEXT, resort TEXT, icons INTEGER);
INSERT INTO lambs VALUES
('Sutoff', 'Posoff', 988),
('Gofel', 'Lofin', 809),
('Labon', 'Posoff', 670),
('Finon', 'Hokin', 687),
('Henov', 'Lofin', 494),
('Vuzen', 'Lofin', 843);
